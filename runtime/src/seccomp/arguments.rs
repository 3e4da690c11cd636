//! Rules that look at a call's arguments, and the code that judges by them.
//!
//! BPF compares 32 bits at a time, arguments have 64: their halves are loaded apart. Where all rules for a
//! call compare one argument with numbers (docker's list of socket families), its values are cut into ranges,
//! first by the upper half, then by the lower one, and searched like the system calls themselves. Any other
//! set of rules is asked rule by rule.

use oci_spec::runtime::LinuxSeccompOperator as Operator;

use super::program::{Backward, Target, Test};

/// A verdict for the calls that meet all conditions.
#[derive(Clone, Debug)]
pub(super) struct Rule {
    pub(super) conditions: Vec<Condition>,
    pub(super) action: u32,
}

/// What one argument must be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Condition {
    /// 0 to 5.
    pub(super) index: u32,
    pub(super) operator: Operator,
    /// For `MASKED_EQ` what the masked argument must be.
    pub(super) value: u64,
    /// All ones for every operator but `MASKED_EQ`.
    pub(super) mask: u64,
}

/// Code for the first rule that matches, else `otherwise`. Unless `wide`, only the lower halves are compared.
pub(super) fn judge(program: &mut Backward, rules: &[&Rule], wide: bool, otherwise: u32) -> Target {
    match one_argument(rules) {
        Some(index) if wide => wide_switch(program, index, &ranges(rules, u64::MAX, otherwise)),
        Some(index) => {
            let ranges = ranges(rules, u32::MAX.into(), otherwise);
            let leaves: Vec<_> =
                ranges.iter().map(|(first, action)| (*first as u32, Target::Return(*action))).collect();
            program.switch(lower(index), &leaves)
        }
        None => rules.iter().rev().fold(Target::Return(otherwise), |no, rule| {
            let yes = Target::Return(rule.action);
            rule.conditions.iter().rev().fold(yes, |yes, condition| ask(program, condition, wide, yes, no))
        }),
    }
}

/// The argument that every rule compares with a number, if they all do no more than that.
fn one_argument(rules: &[&Rule]) -> Option<u32> {
    let single = |rule: &Rule| match rule.conditions[..] {
        [Condition { index, operator, .. }] if operator != Operator::ScmpCmpMaskedEq => Some(index),
        _ => None,
    };
    let index = single(rules.first()?)?;
    rules.iter().all(|rule| single(rule) == Some(index)).then_some(index)
}

/// The verdict for each value: ranges by their first values, ascending from 0 to `last`, neighbours
/// different.
fn ranges(rules: &[&Rule], last: u64, otherwise: u32) -> Vec<(u64, u32)> {
    let mut ranges = vec![(0, otherwise)];
    let mut paint = |from: u64, to: u64, action: u32| {
        let after =
            ranges.iter().rev().find(|(first, _)| *first <= to).map_or(otherwise, |(_, action)| *action);
        let at = ranges.partition_point(|(first, _)| *first < from);
        let end = ranges.partition_point(|(first, _)| *first <= to);
        let resumes = to < last && ranges.get(end).is_none_or(|(first, _)| *first != to + 1);
        ranges.splice(at..end, [(from, action)].into_iter().chain(resumes.then(|| (to + 1, after))));
    };
    // The first rule that matches counts: it is painted last.
    for rule in rules.iter().rev() {
        let value = rule.conditions[0].value & last;
        match rule.conditions[0].operator {
            Operator::ScmpCmpEq | Operator::ScmpCmpMaskedEq => paint(value, value, rule.action),
            Operator::ScmpCmpGe => paint(value, last, rule.action),
            Operator::ScmpCmpLe => paint(0, value, rule.action),
            Operator::ScmpCmpGt if value < last => paint(value + 1, last, rule.action),
            Operator::ScmpCmpLt if value > 0 => paint(0, value - 1, rule.action),
            Operator::ScmpCmpNe => {
                if value > 0 {
                    paint(0, value - 1, rule.action);
                }
                if value < last {
                    paint(value + 1, last, rule.action);
                }
            }
            // Nothing is above the greatest value or below zero.
            Operator::ScmpCmpGt | Operator::ScmpCmpLt => {}
        }
    }
    ranges.dedup_by_key(|(_, action)| *action);
    ranges
}

/// Searches the ranges of a 64-bit argument: by its upper half, and where one upper half has several ranges,
/// by the lower.
fn wide_switch(program: &mut Backward, index: u32, ranges: &[(u64, u32)]) -> Target {
    let mut leaves: Vec<(u32, Target)> = Vec::new();
    let mut before = Target::Return(ranges[0].1);
    for same_half in ranges.chunk_by(|(one, _), (other, _)| one >> 32 == other >> 32) {
        let half = (same_half[0].0 >> 32) as u32;
        // The upper halves since the last group have the verdict of that group's end.
        if leaves.last().is_some_and(|(last, _)| last + 1 < half) {
            leaves.push((leaves[leaves.len() - 1].0 + 1, before));
        }
        let begins_within = (same_half[0].0 as u32 != 0).then_some((0, before));
        let low = same_half.iter().map(|(first, action)| (*first as u32, Target::Return(*action)));
        let low: Vec<_> = begins_within.into_iter().chain(low).collect();
        before = low[low.len() - 1].1;
        leaves.push((half, program.switch(lower(index), &low)));
    }
    if let Some((last, leaf)) = leaves.last()
        && *last < u32::MAX
        && *leaf != before
    {
        leaves.push((last + 1, before));
    }
    leaves.dedup_by_key(|(_, leaf)| *leaf);
    program.switch(upper(index), &leaves)
}

/// One condition, half by half.
fn ask(program: &mut Backward, condition: &Condition, wide: bool, yes: Target, no: Target) -> Target {
    let Condition { index, operator, value, mask } = *condition;
    let (value_low, value_high) = (value as u32, (value >> 32) as u32);
    let mut compare = |test: Test, yes: Target, no: Target| {
        let low = program.branch(test, value_low, yes, no);
        let low = program.load(lower(index), low);
        if !wide {
            return low;
        }
        // The upper half decides unless it is the same.
        let above = if test == Test::Equal { no } else { yes };
        let high = program.branch(Test::Equal, value_high, low, no);
        let high = if above == no { high } else { program.branch(Test::Greater, value_high, above, high) };
        program.load(upper(index), high)
    };
    match operator {
        Operator::ScmpCmpEq => compare(Test::Equal, yes, no),
        Operator::ScmpCmpNe => compare(Test::Equal, no, yes),
        Operator::ScmpCmpGe => compare(Test::AtLeast, yes, no),
        Operator::ScmpCmpLt => compare(Test::AtLeast, no, yes),
        Operator::ScmpCmpGt => compare(Test::Greater, yes, no),
        Operator::ScmpCmpLe => compare(Test::Greater, no, yes),
        Operator::ScmpCmpMaskedEq => {
            let low = ask_bits(program, lower(index), mask as u32, value_low, yes, no);
            if wide { ask_bits(program, upper(index), (mask >> 32) as u32, value_high, low, no) } else { low }
        }
    }
}

/// Whether the word at `offset`, masked, is `value`, of which only the masked bits count (as for libseccomp).
fn ask_bits(program: &mut Backward, offset: u32, mask: u32, value: u32, yes: Target, no: Target) -> Target {
    let next = match value & mask {
        _ if mask == 0 => return yes,
        0 => program.branch(Test::AnyBit, mask, no, yes),
        value => {
            let equal = program.branch(Test::Equal, value, yes, no);
            if mask == u32::MAX { equal } else { program.and(mask, equal) }
        }
    };
    program.load(offset, next)
}

/// Where an argument's lower half lies in `struct seccomp_data`: all machines that we know are little endian.
fn lower(index: u32) -> u32 {
    16 + 8 * index
}

fn upper(index: u32) -> u32 {
    lower(index) + 4
}
