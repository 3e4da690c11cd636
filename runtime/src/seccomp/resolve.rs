//! From the names of a profile to what happens to each number of each ABI.

use oci_spec::runtime::{LinuxSeccompArg, LinuxSeccompOperator as Operator};

use super::abi::{ARM_PRIVATE, Abi, X32_BIT};
use super::arguments::{Condition, Rule};
use super::numbers::{Call, SPAN, call};

/// A profile with its names resolved.
pub(super) struct Resolved {
    /// What happens to calls without a rule.
    pub(super) default: u32,
    /// One for each ABI, and a second one for arm's private calls. Those of one ABI are neighbours.
    pub(super) blocks: Vec<Block>,
    /// What [`Cell::Rules`] stands for: indices into `rules`.
    pub(super) lists: Vec<Vec<usize>>,
    /// In the profile's order.
    pub(super) rules: Vec<Rule>,
}

/// The numbers of one ABI from `base` up to the greatest that the profile names.
pub(super) struct Block {
    pub(super) abi: Abi,
    pub(super) base: u32,
    pub(super) cells: Vec<Cell>,
}

/// What happens to one system call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cell {
    /// This, whatever the arguments are.
    Always(u32),
    /// The first rule of this list that matches, else the default.
    Rules(u32),
}

impl Resolved {
    pub(super) fn new(abis: impl Iterator<Item = Abi>, default: u32) -> Resolved {
        let mut blocks = Vec::new();
        for abi in abis {
            let bases: &[u32] = match abi {
                Abi::X32 => &[X32_BIT],
                Abi::Arm => &[0, ARM_PRIVATE],
                Abi::X86_64 | Abi::I386 | Abi::Aarch64 => &[0],
            };
            // No ABI has more calls: x32's end at 547.
            blocks.extend(bases.iter().map(|&base| Block { abi, base, cells: Vec::with_capacity(560) }));
        }
        Resolved { default, blocks, lists: Vec::new(), rules: Vec::new() }
    }

    /// One entry of the profile: `action` for all these calls, if their arguments are so.
    ///
    /// Conditions on different arguments must all be met. Where an argument occurs twice, every condition is
    /// a rule of its own instead: so says runc, for the sake of profiles from before conditions could be
    /// joined.
    pub(super) fn add(&mut self, names: &[String], action: u32, arguments: &[LinuxSeccompArg]) {
        let mut occurs = [0; 6];
        arguments.iter().for_each(|argument| occurs[argument.index()] += 1);
        let together = if occurs.iter().all(|&times| times < 2) { arguments.len() } else { 1 };
        let first = self.rules.len();
        if arguments.is_empty() {
            self.rules.push(Rule { conditions: Vec::new(), action });
        }
        for joined in arguments.chunks(together.max(1)) {
            // A mask without bits asks nothing.
            let conditions = joined.iter().map(condition).filter(|condition| condition.mask != 0).collect();
            self.rules.push(Rule { conditions, action });
        }
        let end = self.rules.len();
        for call in names.iter().filter_map(|name| call(name)) {
            for block in 0..self.blocks.len() {
                if let Some(index) = self.blocks[block].index(call) {
                    (first..end).for_each(|rule| self.apply(block, index, rule));
                }
                if self.blocks[block].abi == Abi::I386
                    && let Some((number, operation)) = call.multiplexed()
                {
                    (first..end)
                        .for_each(|rule| self.apply_multiplexed(block, number as usize, operation, rule));
                }
            }
        }
    }

    /// Adds a rule to what is known of a call. An unconditional one covers all conditional ones, before and
    /// after it, and the first of several stays, as with libseccomp.
    fn apply(&mut self, block: usize, index: usize, rule: usize) {
        let cells = &mut self.blocks[block].cells;
        if cells.len() <= index {
            cells.resize(index + 1, Cell::Always(self.default));
        }
        let Rule { conditions, action } = &self.rules[rule];
        // libseccomp takes no rule that says what the default says, and runc drops it.
        if *action == self.default {
            return;
        }
        match cells[index] {
            Cell::Always(verdict) if verdict != self.default => {}
            _ if conditions.is_empty() => cells[index] = Cell::Always(*action),
            Cell::Rules(list) => self.lists[list as usize].push(rule),
            Cell::Always(_) => {
                cells[index] = Cell::Rules(self.lists.len() as u32);
                self.lists.push(vec![rule]);
            }
        }
    }

    /// Adds a rule for one operation of socketcall(2) or ipc(2), by which i386 has the call too.
    ///
    /// The operation is the first argument, the call's own arguments lie behind a pointer that no filter can
    /// follow: what the rule asks of the first one is lost. Profiles refuse the whole call or accept that, as
    /// with libseccomp.
    fn apply_multiplexed(&mut self, block: usize, index: usize, operation: u32, rule: usize) {
        let cell = self.blocks[block].cells.get(index);
        if cell.is_some_and(|cell| matches!(cell, Cell::Always(verdict) if *verdict != self.default)) {
            return;
        }
        let Rule { conditions, action } = &self.rules[rule];
        let is_operation =
            Condition { index: 0, operator: Operator::ScmpCmpEq, value: operation.into(), mask: u64::MAX };
        let others = conditions.iter().copied().filter(|condition| condition.index != 0);
        let conditions = std::iter::once(is_operation).chain(others).collect();
        self.rules.push(Rule { conditions, action: *action });
        self.apply(block, index, self.rules.len() - 1);
    }
}

impl Block {
    fn index(&self, call: &Call) -> Option<usize> {
        let offset = call.number(self.abi)?.checked_sub(self.base)?;
        (offset < SPAN).then_some(offset as usize)
    }
}

fn condition(argument: &LinuxSeccompArg) -> Condition {
    let (mask, value) = match argument.op() {
        Operator::ScmpCmpMaskedEq => (argument.value(), argument.value_two().unwrap_or(0)),
        _ => (u64::MAX, argument.value()),
    };
    Condition { index: argument.index() as u32, operator: argument.op(), value, mask }
}
