//! A program in words, for people who want to see what the kernel runs.

use std::fmt::Write;

use super::abi::Abi;
use super::numbers::name;
use super::program::{AND, Instruction, JUMP, LOAD, RETURN, Test};

/// One line an instruction: its index, what it does, where it goes on.
///
/// ```text
///    0  load arch
///    1  if = 0xc000003e (x86_64) go to 2, else to 10
///    2  load number
///    3  if >= 136 (ustat) go to 7
///    4  if >= 1 (write) go to 6
///    5  return allow
/// ```
pub fn listing(program: &[Instruction]) -> String {
    let mut text = String::new();
    let mut loaded = String::new();
    // A test of the architecture leads to its section, which ends where the next one begins.
    let mut sections: Vec<(usize, Abi)> = Vec::new();
    for (at, &Instruction { code, jt, jf, k }) in program.iter().enumerate() {
        let (yes, no) = (at + 1 + usize::from(jt), at + 1 + usize::from(jf));
        let line = match code {
            LOAD => {
                loaded = word(k);
                format!("load {loaded}")
            }
            AND => format!("keep the bits {k:#x}"),
            JUMP => format!("go to {}", at + 1 + k as usize),
            RETURN => format!("return {}", verdict(k)),
            test => {
                let arch = Abi::ALL.into_iter().find(|abi| loaded == "arch" && abi.audit_arch() == k);
                sections.extend(arch.map(|abi| (yes, abi)));
                let within =
                    sections.iter().filter(|(start, _)| *start <= at).max_by_key(|(start, _)| *start);
                let called = within.filter(|_| loaded == "number").and_then(|(_, abi)| number_name(*abi, k));
                let named = arch.map(|abi| format!(" ({abi:?})").to_lowercase());
                let named = named.or(called.map(|name| format!(" ({name})"))).unwrap_or_default();
                let operand = if k < 0x1_0000 { k.to_string() } else { format!("{k:#x}") };
                let otherwise = if jf == 0 { String::new() } else { format!(", else to {no}") };
                format!("if {} {operand}{named} go to {yes}{otherwise}", sign(test))
            }
        };
        writeln!(text, "{at:4}  {line}").expect("a string takes everything");
    }
    text
}

fn word(offset: u32) -> String {
    let half = if offset.is_multiple_of(8) { "lower" } else { "upper" };
    match offset {
        0 => "number".to_owned(),
        4 => "arch".to_owned(),
        _ => format!("{half} half of argument {}", offset / 8 - 2),
    }
}

/// x32's numbers stand in the section of x86_64.
fn number_name(abi: Abi, number: u32) -> Option<&'static str> {
    name(abi, number).or_else(|| name(Abi::X32, number).filter(|_| abi == Abi::X86_64))
}

fn sign(test: u16) -> &'static str {
    match test {
        _ if test == Test::Equal as u16 => "=",
        _ if test == Test::Greater as u16 => ">",
        _ if test == Test::AtLeast as u16 => ">=",
        _ => "any bit of",
    }
}

fn verdict(k: u32) -> String {
    let data = k & 0xffff;
    match k & 0xffff_0000 {
        0x8000_0000 => "kill process".to_owned(),
        0x0000_0000 => "kill thread".to_owned(),
        0x0003_0000 => "trap".to_owned(),
        0x0005_0000 => format!("errno {data}"),
        0x7fc0_0000 => "notify".to_owned(),
        0x7ff0_0000 => format!("trace {data}"),
        0x7ffc_0000 => "log".to_owned(),
        _ => "allow".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::Machine;
    use super::super::assemble::assemble;
    use super::*;

    #[test]
    fn a_small_program_reads_like_this() {
        let profile = json!({
            "defaultAction": "SCMP_ACT_ERRNO",
            "syscalls": [
                { "names": ["read"], "action": "SCMP_ACT_ALLOW" },
                { "names": ["personality"], "action": "SCMP_ACT_TRAP", "args": [
                    { "index": 0, "value": 0x2_0000, "op": "SCMP_CMP_EQ" },
                    { "index": 1, "value": 7, "valueTwo": 2, "op": "SCMP_CMP_MASKED_EQ" } ] },
            ],
        });
        let program =
            assemble(&serde_json::from_value(profile).unwrap(), Machine::X86_64).unwrap().instructions;
        let expected = "   0  load arch
   1  if = 0xc000003e (x86_64) go to 2, else to 10
   2  load number
   3  if >= 136 (ustat) go to 7
   4  if >= 1 (write) go to 6
   5  return allow
   6  if >= 135 (personality) go to 11, else to 18
   7  if >= 0x40000000 (read) go to 9
   8  return errno 38
   9  if >= 0xffffffff go to 18
  10  return kill thread
  11  load upper half of argument 0
  12  if = 0 go to 13, else to 18
  13  load lower half of argument 0
  14  if = 0x20000 go to 15, else to 18
  15  load lower half of argument 1
  16  keep the bits 0x7
  17  if = 2 go to 19
  18  return errno 1
  19  return trap
";
        assert_eq!(listing(&program), expected);
    }
}
