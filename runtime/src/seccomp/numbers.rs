//! System call names and their numbers, for every [`Abi`].
//!
//! Profiles speak of names, the kernel of numbers, and each ABI has its own. The tables come from the
//! `syscalls` crate, which generates them from the kernel's; what it lacks or has wrong stands below, with
//! its source. A profile has some 370 names, each looked up for each `mini run`: so the compiler builds one
//! hash table over all ABIs, without a pointer in it (pointers would have to be relocated at every start of a
//! static program).

use syscalls::{aarch64, arm, x86, x86_64};

use super::abi::{ARM_PRIVATE, Abi, X32_BIT};

/// The call of that name, if any ABI has it.
pub(super) fn call(name: &str) -> Option<&'static Call> {
    TABLE.find(name.as_bytes())
}

/// The name of a number, for people to read.
pub(super) fn name(abi: Abi, number: u32) -> Option<&'static str> {
    let call = TABLE.calls[..TABLE.len].iter().find(|call| call.number(abi) == Some(number))?;
    std::str::from_utf8(TABLE.name(call)).ok()
}

/// A system call, wherever it exists.
#[derive(Clone, Copy)]
pub(super) struct Call {
    start: u16,
    length: u8,
    /// 0, or the operation of socketcall(2), or 0x80 and the operation of ipc(2).
    multiplexed: u8,
    numbers: [u32; Abi::ALL.len()],
}

impl Call {
    /// Its number in `abi`.
    pub(super) fn number(&self, abi: Abi) -> Option<u32> {
        Some(self.numbers[abi as usize]).filter(|number| *number != NOWHERE)
    }

    /// The other way to it on i386: socketcall(2) or ipc(2), and the first argument there.
    pub(super) fn multiplexed(&self) -> Option<(u32, u32)> {
        match self.multiplexed {
            0 => None,
            operation if operation < 0x80 => Some((I386_SOCKETCALL, operation.into())),
            operation => Some((I386_IPC, u32::from(operation) - 0x80)),
        }
    }
}

/// Every number lies in `0..SPAN`, but x32's are counted from `X32_BIT` and arm's private ones from
/// `ARM_PRIVATE`.
pub(super) const SPAN: u32 = 1024;

const NOWHERE: u32 = u32::MAX;
const I386_SOCKETCALL: u32 = 102;
const I386_IPC: u32 = 117;

/// Calls that the crate lacks.
const SUPPLEMENT: &[(Abi, &str, u32)] = &[
    // The crate has this one as `fstatat`, which no kernel header says (scripts/syscall.tbl: 79 64
    // newfstatat).
    (Abi::Aarch64, "newfstatat", 79),
    // A second name of arm_sync_file_range (arch/arm/include/uapi/asm/unistd.h).
    (Abi::Arm, "sync_file_range2", 341),
    // arch/arm/include/uapi/asm/unistd.h
    (Abi::Arm, "breakpoint", ARM_PRIVATE + 1),
    (Abi::Arm, "cacheflush", ARM_PRIVATE + 2),
    (Abi::Arm, "usr26", ARM_PRIVATE + 3),
    (Abi::Arm, "usr32", ARM_PRIVATE + 4),
    (Abi::Arm, "set_tls", ARM_PRIVATE + 5),
    (Abi::Arm, "get_tls", ARM_PRIVATE + 6),
];

/// Calls that have a number of their own in x32, from 512 on: x86_64's numbers in the order of x32's
/// (arch/x86/entry/syscalls/syscall_64.tbl). Every other call of abi `common` keeps its number there.
const X32_FROM_512: [u32; 36] = [
    13, 15, 16, 19, 20, 45, 46, 47, 59, 101, 127, 128, 129, 131, 222, 244, 246, 247, 273, 274, 278, 279, 295,
    296, 297, 299, 307, 310, 311, 54, 55, 206, 209, 322, 327, 328,
];

/// Calls of abi `64` without any counterpart in x32 (the same file).
const NOT_IN_X32: [u32; 11] = [134, 156, 174, 177, 178, 180, 205, 211, 214, 215, 236];

/// The operations of socketcall(2), from 1 on (linux/net.h).
pub(super) const SOCKETCALLS: [&str; 20] = [
    "socket",
    "bind",
    "connect",
    "listen",
    "accept",
    "getsockname",
    "getpeername",
    "socketpair",
    "send",
    "recv",
    "sendto",
    "recvfrom",
    "shutdown",
    "setsockopt",
    "getsockopt",
    "sendmsg",
    "recvmsg",
    "accept4",
    "recvmmsg",
    "sendmmsg",
];

/// The operations of ipc(2) (linux/ipc.h).
pub(super) const IPC_CALLS: [(&str, u8); 12] = [
    ("semop", 1),
    ("semget", 2),
    ("semctl", 3),
    ("semtimedop", 4),
    ("msgsnd", 11),
    ("msgrcv", 12),
    ("msgget", 13),
    ("msgctl", 14),
    ("shmat", 21),
    ("shmdt", 22),
    ("shmget", 23),
    ("shmctl", 24),
];

/// A hash table with linear probing, built by the compiler.
struct Table {
    /// All names, one after the other.
    names: [u8; 8192],
    bytes: usize,
    calls: [Call; 640],
    len: usize,
    /// 1 + index into `calls`, 0 for an empty slot.
    slots: [u16; SLOTS],
}

/// A power of two.
const SLOTS: usize = 2048;

static TABLE: Table = Table::build();

impl Table {
    fn find(&self, name: &[u8]) -> Option<&Call> {
        let mut slot = hash(name);
        loop {
            let call = &self.calls[(self.slots[slot] as usize).checked_sub(1)?];
            if self.name(call) == name {
                return Some(call);
            }
            slot = (slot + 1) % SLOTS;
        }
    }

    fn name(&self, call: &Call) -> &[u8] {
        &self.names[call.start as usize..][..call.length as usize]
    }

    const fn build() -> Table {
        let nothing = Call { start: 0, length: 0, multiplexed: 0, numbers: [NOWHERE; Abi::ALL.len()] };
        let mut table =
            Table { names: [0; 8192], bytes: 0, calls: [nothing; 640], len: 0, slots: [0; SLOTS] };
        let mut number = 0;
        while number < SPAN {
            let id = number as usize;
            if let Some(call) = x86_64::Sysno::new(id) {
                table.insert(call.name(), Abi::X86_64, number);
                if let Some(number) = x32(number) {
                    table.insert(call.name(), Abi::X32, number);
                }
            }
            if let Some(call) = x86::Sysno::new(id) {
                table.insert(call.name(), Abi::I386, number);
            }
            // On aarch64 the crate lists the calls with 64-bit time of 32-bit machines, which no 64-bit
            // kernel has.
            if let Some(call) = aarch64::Sysno::new(id)
                && !(number == 79 || 403 <= number && number <= 423)
            {
                table.insert(call.name(), Abi::Aarch64, number);
            }
            if let Some(call) = arm::Sysno::new(id) {
                table.insert(call.name(), Abi::Arm, number);
            }
            number += 1;
        }
        let mut index = 0;
        while index < SUPPLEMENT.len() {
            let (abi, name, number) = SUPPLEMENT[index];
            table.insert(name, abi, number);
            index += 1;
        }
        index = 0;
        while index < SOCKETCALLS.len() {
            let call = table.call(SOCKETCALLS[index]);
            table.calls[call].multiplexed = 1 + index as u8;
            index += 1;
        }
        index = 0;
        while index < IPC_CALLS.len() {
            let (name, operation) = IPC_CALLS[index];
            let call = table.call(name);
            table.calls[call].multiplexed = 0x80 + operation;
            index += 1;
        }
        table
    }

    const fn insert(&mut self, name: &str, abi: Abi, number: u32) {
        let call = self.call(name);
        self.calls[call].numbers[abi as usize] = number;
    }

    /// The index of the call of that name, made if need be.
    const fn call(&mut self, name: &str) -> usize {
        let name = strip_raw(name.as_bytes());
        let mut slot = hash(name);
        while self.slots[slot] != 0 {
            let index = self.slots[slot] as usize - 1;
            if self.is_named(index, name) {
                return index;
            }
            slot = (slot + 1) % SLOTS;
        }
        self.calls[self.len].start = self.bytes as u16;
        self.calls[self.len].length = name.len() as u8;
        let mut at = 0;
        while at < name.len() {
            self.names[self.bytes] = name[at];
            self.bytes += 1;
            at += 1;
        }
        self.len += 1;
        self.slots[slot] = self.len as u16;
        self.len - 1
    }

    const fn is_named(&self, index: usize, name: &[u8]) -> bool {
        let call = self.calls[index];
        let mut at = 0;
        while at < name.len() && at < call.length as usize {
            if self.names[call.start as usize + at] != name[at] {
                return false;
            }
            at += 1;
        }
        name.len() == call.length as usize
    }
}

const fn x32(number: u32) -> Option<u32> {
    let mut index = 0;
    while index < X32_FROM_512.len() {
        if X32_FROM_512[index] == number {
            return Some(X32_BIT + 512 + index as u32);
        }
        index += 1;
    }
    index = 0;
    while index < NOT_IN_X32.len() {
        if NOT_IN_X32[index] == number {
            return None;
        }
        index += 1;
    }
    Some(X32_BIT + number)
}

/// `break` is a word of Rust: the crate has it as `r#break`.
const fn strip_raw(name: &[u8]) -> &[u8] {
    match name {
        [b'r', b'#', rest @ ..] => rest,
        _ => name,
    }
}

/// Spreads a name over the slots, eight letters a multiplication.
const fn hash(mut name: &[u8]) -> usize {
    const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut hash = 0;
    while let Some((eight, rest)) = name.split_first_chunk() {
        hash = (hash ^ u64::from_le_bytes(*eight)).wrapping_mul(ODD);
        name = rest;
    }
    let mut tail = 0;
    while let Some((letter, rest)) = name.split_first() {
        tail = tail << 8 | *letter as u64;
        name = rest;
    }
    hash = (hash ^ tail).wrapping_mul(ODD);
    (hash >> (u64::BITS - SLOTS.ilog2())) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(name: &str, abi: Abi) -> Option<u32> {
        call(name)?.number(abi)
    }

    #[test]
    fn calls_since_linux_5_1_have_one_number_everywhere() {
        // arch/x86/entry/syscalls/syscall_64.tbl of Linux 6.18; since 424 all architectures count alike.
        let newest = [
            "setxattrat",
            "getxattrat",
            "listxattrat",
            "removexattrat",
            "open_tree_attr",
            "file_getattr",
            "file_setattr",
        ];
        let since_6_7 = [
            "futex_wake",
            "futex_wait",
            "futex_requeue",
            "statmount",
            "listmount",
            "lsm_get_self_attr",
            "lsm_set_self_attr",
            "lsm_list_modules",
            "mseal",
        ];
        for (expected, name) in (454..).zip(since_6_7.into_iter().chain(newest)) {
            for abi in Abi::ALL {
                let expected = if abi == Abi::X32 { X32_BIT + expected } else { expected };
                assert_eq!(number(name, abi), Some(expected), "{name} of {abi:?}");
            }
        }
    }

    #[test]
    fn every_abi_numbers_in_its_own_way() {
        let cases: [(&str, [Option<u32>; 5]); 12] = [
            // x86_64, x32, i386, aarch64, arm
            ("read", [Some(0), Some(X32_BIT), Some(3), Some(63), Some(3)]),
            ("execve", [Some(59), Some(X32_BIT + 520), Some(11), Some(221), Some(11)]),
            ("pwritev2", [Some(328), Some(X32_BIT + 547), Some(379), Some(287), Some(393)]),
            ("socket", [Some(41), Some(X32_BIT + 41), Some(359), Some(198), Some(281)]),
            ("send", [None, None, None, None, Some(289)]),
            ("break", [None, None, Some(17), None, None]),
            ("newfstatat", [Some(262), Some(X32_BIT + 262), None, Some(79), None]),
            ("fstatat64", [None, None, Some(300), None, Some(327)]),
            ("futex_time64", [None, None, Some(422), None, Some(422)]),
            ("set_thread_area", [Some(205), None, Some(243), None, None]),
            ("uprobe", [Some(336), Some(X32_BIT + 336), None, None, None]),
            ("set_tls", [None, None, None, None, Some(0xf_0005)]),
        ];
        for (name, expected) in cases {
            assert_eq!(Abi::ALL.map(|abi| number(name, abi)), expected, "{name}");
        }
        assert!(call("frobnicate").is_none() && call("").is_none() && call("fstatat").is_none());
    }

    #[test]
    fn socketcall_and_ipc_know_their_operations() {
        let operation = |name| call(name).and_then(Call::multiplexed);
        assert_eq!(operation("socket"), Some((102, 1)));
        assert_eq!(operation("sendmmsg"), Some((102, 20)));
        assert_eq!(operation("semop"), Some((117, 1)));
        assert_eq!(operation("shmctl"), Some((117, 24)));
        assert_eq!(operation("read"), None);
    }

    #[test]
    fn a_number_has_a_name_again() {
        assert_eq!(name(Abi::X86_64, 59), Some("execve"));
        assert_eq!(name(Abi::X32, X32_BIT + 520), Some("execve"));
        assert_eq!(name(Abi::X86_64, 400), None);
        assert_eq!(name(Abi::X86_64, u32::MAX), None);
    }
}
