//! A classic BPF program, written from its end to its beginning.
//!
//! A jump of classic BPF goes forward only, and a conditional one 255 instructions at most (bpf(4) of the
//! BSDs, the kernel's Documentation/networking/filter.rst). Written backwards, every target exists before the
//! jump to it: its distance is known, an existing `return` is shared by all who can reach it, and where a
//! target is too far an unconditional jump, which has 32 bits for its distance, is put between. No second
//! pass corrects anything.

/// One instruction, laid out as the kernel's `struct sock_filter` (linux/filter.h).
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instruction {
    /// What it does.
    pub code: u16,
    /// How many instructions to skip when the test holds.
    pub jt: u8,
    /// How many to skip when it does not.
    pub jf: u8,
    /// The operand.
    pub k: u32,
}

/// Loads a 32-bit word of `struct seccomp_data` into the accumulator.
pub(super) const LOAD: u16 = 0x20;
/// Keeps the accumulator's bits that are in the operand.
pub(super) const AND: u16 = 0x54;
/// Jumps always.
pub(super) const JUMP: u16 = 0x05;
/// Ends with the operand as the verdict.
pub(super) const RETURN: u16 = 0x06;

/// What a conditional jump asks about the accumulator and the operand; all unsigned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub(super) enum Test {
    Equal = 0x15,
    Greater = 0x25,
    AtLeast = 0x35,
    AnyBit = 0x45,
}

/// Where a branch leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// Ends with this verdict.
    Return(u32),
    /// Goes on there.
    At(Label),
}

/// An instruction's place, counted from the program's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Label(u32);

/// The program so far, last instruction first.
#[derive(Default)]
pub(super) struct Backward {
    reversed: Vec<Instruction>,
    /// For each verdict, the nearest `return` of it.
    returns: Vec<(u32, Label)>,
}

impl Backward {
    /// Loads the word at `offset` of `struct seccomp_data` and goes on to the leaf whose number is the
    /// greatest one not above it. Leaves ascend, the first one's number is 0, and neighbours differ.
    pub(super) fn switch(&mut self, offset: u32, leaves: &[(u32, Target)]) -> Target {
        if leaves.len() == 1 {
            return leaves[0].1;
        }
        let mut chunks = Vec::with_capacity(leaves.len());
        let mut rest = leaves;
        while !rest.is_empty() {
            let (chunk, others) = rest.split_at(1 + 2 * exceptions(rest));
            chunks.push(chunk);
            rest = others;
        }
        let root = self.tree(&chunks);
        self.load(offset, root)
    }

    /// Loads a word, then goes on to `next`.
    pub(super) fn load(&mut self, offset: u32, next: Target) -> Target {
        self.then(LOAD, offset, next)
    }

    /// Masks the accumulator, then goes on to `next`.
    pub(super) fn and(&mut self, mask: u32, next: Target) -> Target {
        self.then(AND, mask, next)
    }

    /// Asks, and goes on to `yes` or `no`.
    pub(super) fn branch(&mut self, test: Test, operand: u32, yes: Target, no: Target) -> Target {
        if yes == no {
            return yes;
        }
        // The way to `no` may need one instruction more, which moves `yes` one further away.
        let yes = self.reach(yes, 254);
        let no = self.reach(no, 255);
        let (jt, jf) = (self.distance(yes) as u8, self.distance(no) as u8);
        self.push(Instruction { code: test as u16, jt, jf, k: operand })
    }

    /// The program, with `entry` as its first instruction.
    pub(super) fn finish(mut self, entry: Target) -> Vec<Instruction> {
        let entry = self.reach(entry, 0);
        self.reversed.truncate(entry.0 as usize);
        self.reversed.reverse();
        self.reversed
    }

    /// Halves the chunks until one is left, and asks there for its exceptions.
    fn tree(&mut self, chunks: &[&[(u32, Target)]]) -> Target {
        if let [chunk] = chunks {
            let exceptions = chunk.iter().skip(1).step_by(2);
            return exceptions
                .rev()
                .fold(chunk[0].1, |no, (number, yes)| self.branch(Test::Equal, *number, *yes, no));
        }
        let (low, high) = chunks.split_at(chunks.len() / 2);
        let yes = self.tree(high);
        let no = self.tree(low);
        self.branch(Test::AtLeast, high[0][0].0, yes, no)
    }

    fn then(&mut self, code: u16, k: u32, next: Target) -> Target {
        self.reach(next, 0);
        self.push(Instruction { code, jt: 0, jf: 0, k })
    }

    /// A place at most `limit` instructions away from which the target is reached.
    fn reach(&mut self, target: Target, limit: usize) -> Label {
        let known = match target {
            Target::At(label) => Some(label),
            Target::Return(verdict) => {
                self.returns.iter().find(|(known, _)| *known == verdict).map(|(_, label)| *label)
            }
        };
        if let Some(label) = known
            && self.distance(label) <= limit
        {
            return label;
        }
        match target {
            Target::At(label) => {
                let k = self.distance(label) as u32;
                self.place(Instruction { code: JUMP, jt: 0, jf: 0, k })
            }
            Target::Return(verdict) => {
                let label = self.place(Instruction { code: RETURN, jt: 0, jf: 0, k: verdict });
                self.returns.retain(|(known, _)| *known != verdict);
                self.returns.push((verdict, label));
                label
            }
        }
    }

    /// How many instructions an instruction written now would have to skip.
    fn distance(&self, label: Label) -> usize {
        self.reversed.len() - label.0 as usize
    }

    fn push(&mut self, instruction: Instruction) -> Target {
        Target::At(self.place(instruction))
    }

    fn place(&mut self, instruction: Instruction) -> Label {
        self.reversed.push(instruction);
        Label(self.reversed.len() as u32)
    }
}

/// A chunk of leaves is one range with at most so many exceptions, which are asked for one after the other.
///
/// More of them make docker's program no smaller, and other programs' ways longer.
const EXCEPTIONS: usize = 3;

/// How many single numbers interrupt the range that the leaves begin with: each costs one test for equality
/// there, and two comparisons as a leaf of its own. For docker's profile on amd64 that makes 250 instructions
/// of 350.
fn exceptions(leaves: &[(u32, Target)]) -> usize {
    let (_, range) = leaves[0];
    let interrupts = |pair: &&[(u32, Target)]| pair[0].0 + 1 == pair[1].0 && pair[1].1 == range;
    leaves[1..].chunks_exact(2).take(EXCEPTIONS).take_while(interrupts).count()
}

#[cfg(test)]
mod tests {
    use super::super::tests::verdict_on_number;
    use super::*;

    #[test]
    fn a_branch_finds_both_targets_at_every_distance() {
        for filler in 240..270 {
            for yes_is_further in [true, false] {
                let mut program = Backward::default();
                let mut targets = [1, 2].map(|verdict| program.load(0, Target::Return(verdict)));
                if !yes_is_further {
                    targets.swap(0, 1);
                }
                (0..filler).fold(Target::Return(3), |next, _| program.load(0, next));
                let branch = program.branch(Test::Equal, 7, targets[0], targets[1]);
                let entry = program.load(0, branch);
                let program = program.finish(entry);
                let expected = if yes_is_further { [1, 2] } else { [2, 1] };
                let verdicts = [7, 8].map(|number| verdict_on_number(&program, number));
                assert_eq!(verdicts, expected, "{filler} instructions between");
            }
        }
    }

    #[test]
    fn a_single_number_within_a_range_costs_one_test() {
        let (allow, deny) = (Target::Return(1), Target::Return(0));
        let leaves = [(0, allow), (5, deny), (6, allow), (9, deny), (10, allow), (20, deny)];
        let mut program = Backward::default();
        let entry = program.switch(0, &leaves);
        let program = program.finish(entry);
        let verdicts: Vec<u32> = (0..25).map(|number| verdict_on_number(&program, number)).collect();
        let expected: Vec<u32> = (0..25).map(|number| u32::from(!matches!(number, 5 | 9 | 20..))).collect();
        assert_eq!(verdicts, expected);
        assert_eq!(program.len(), 6, "load, one comparison, two tests, two returns");
    }
}
