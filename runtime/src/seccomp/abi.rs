//! The ways into the kernel: one machine has several, and each numbers the system calls differently.
//!
//! A filter that knows only the native way is no filter: a 64-bit process may execute `int 0x80` and speak
//! i386 to the kernel at any time. seccomp tells a filter the way a call took as an `AUDIT_ARCH_*` value
//! (seccomp(2)); x32 shares x86_64's and is told apart by bit 30 of the number.

use oci_spec::runtime::Arch;

/// The kind of machine whose kernel the container runs on: what docker calls amd64 and arm64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Machine {
    /// amd64: speaks x86_64, i386 and, where the kernel was built so, x32.
    X86_64,
    /// arm64: speaks aarch64 and, where processor and kernel can, 32-bit arm.
    Aarch64,
}

impl Machine {
    /// The machine that this program was built for.
    pub const NATIVE: Machine = if cfg!(target_arch = "x86_64") {
        Machine::X86_64
    } else if cfg!(target_arch = "aarch64") {
        Machine::Aarch64
    } else {
        panic!("seccomp filters are written for x86_64 and aarch64 only")
    };

    /// The ways into this machine's kernel, the native one first, those with one `AUDIT_ARCH_*` together.
    pub(super) const fn abis(self) -> &'static [Abi] {
        match self {
            Machine::X86_64 => &[Abi::X86_64, Abi::X32, Abi::I386],
            Machine::Aarch64 => &[Abi::Aarch64, Abi::Arm],
        }
    }
}

/// One way into the kernel, with numbers of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Abi {
    X86_64,
    X32,
    I386,
    Aarch64,
    Arm,
}

/// The bit that marks a number as x32's (`__X32_SYSCALL_BIT`).
pub(super) const X32_BIT: u32 = 0x4000_0000;

/// Where 32-bit arm's private calls begin (`__ARM_NR_BASE`): breakpoint, cacheflush, set_tls and such.
pub(super) const ARM_PRIVATE: u32 = 0x000f_0000;

impl Abi {
    pub(super) const ALL: [Abi; 5] = [Abi::X86_64, Abi::X32, Abi::I386, Abi::Aarch64, Abi::Arm];

    /// What the filter sees in `seccomp_data.arch` (linux/audit.h): the ELF machine, 0x8000_0000 for 64 bits,
    /// 0x4000_0000 for little endian.
    pub(super) const fn audit_arch(self) -> u32 {
        match self {
            Abi::X86_64 | Abi::X32 => 0xc000_003e,
            Abi::I386 => 0x4000_0003,
            Abi::Aarch64 => 0xc000_00b7,
            Abi::Arm => 0x4000_0028,
        }
    }

    /// Whether arguments are compared with all their 64 bits. libseccomp looks at the lower half alone
    /// elsewhere, so that a profile's 0xffff_ffff_ffff_ff9c (-100, AT_FDCWD) means the same number to a
    /// 32-bit caller.
    pub(super) const fn wide(self) -> bool {
        matches!(self, Abi::X86_64 | Abi::Aarch64)
    }

    /// The name in a specification.
    pub(super) const fn oci(self) -> Arch {
        match self {
            Abi::X86_64 => Arch::ScmpArchX86_64,
            Abi::X32 => Arch::ScmpArchX32,
            Abi::I386 => Arch::ScmpArchX86,
            Abi::Aarch64 => Arch::ScmpArchAarch64,
            Abi::Arm => Arch::ScmpArchArm,
        }
    }
}
