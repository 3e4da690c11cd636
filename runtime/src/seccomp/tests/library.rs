//! libseccomp, loaded at run time, used as runc uses it.

#![expect(unsafe_code, reason = "a C library is the other side of the comparison")]

use std::ffi::{CStr, CString, c_char, c_int, c_uint, c_void};
use std::fs::File;
use std::io::{Read, Seek};
use std::os::fd::{AsRawFd, FromRawFd};
use std::sync::OnceLock;

use oci_spec::runtime::{Arch, LinuxSeccomp, LinuxSeccompArg, LinuxSeccompOperator, LinuxSyscall};

use super::super::program::Instruction;

/// The functions of libseccomp.so.2 (seccomp.h).
pub(super) struct Library {
    init: unsafe extern "C" fn(u32) -> *mut c_void,
    release: unsafe extern "C" fn(*mut c_void),
    arch_add: unsafe extern "C" fn(*mut c_void, u32) -> c_int,
    arch_remove: unsafe extern "C" fn(*mut c_void, u32) -> c_int,
    arch_native: unsafe extern "C" fn() -> u32,
    resolve_name: unsafe extern "C" fn(*const c_char) -> c_int,
    resolve_name_arch: unsafe extern "C" fn(u32, *const c_char) -> c_int,
    resolve_num_arch: unsafe extern "C" fn(u32, c_int) -> *mut c_char,
    rule_add_array: unsafe extern "C" fn(*mut c_void, u32, c_int, c_uint, *const Comparison) -> c_int,
    export_bpf: unsafe extern "C" fn(*const c_void, c_int) -> c_int,
    version: unsafe extern "C" fn() -> *const [c_uint; 3],
}

/// `struct scmp_arg_cmp`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Comparison {
    argument: c_uint,
    operator: c_int,
    first: u64,
    second: u64,
}

/// What `resolve_name` says of a name that it does not know.
const UNKNOWN: c_int = -1;

impl Library {
    pub(super) fn get() -> &'static Library {
        static LIBRARY: OnceLock<Library> = OnceLock::new();
        LIBRARY.get_or_init(|| {
            // SAFETY: a NUL-terminated name; the library's initialisers do nothing.
            let handle = unsafe { libc::dlopen(c"libseccomp.so.2".as_ptr(), libc::RTLD_NOW) };
            assert!(
                !handle.is_null(),
                "this test compares with libseccomp.so.2: apt-get install libseccomp2"
            );
            // SAFETY: each function has the type that seccomp.h gives it, which is its field's.
            unsafe {
                Library {
                    init: symbol(handle, c"seccomp_init"),
                    release: symbol(handle, c"seccomp_release"),
                    arch_add: symbol(handle, c"seccomp_arch_add"),
                    arch_remove: symbol(handle, c"seccomp_arch_remove"),
                    arch_native: symbol(handle, c"seccomp_arch_native"),
                    resolve_name: symbol(handle, c"seccomp_syscall_resolve_name"),
                    resolve_name_arch: symbol(handle, c"seccomp_syscall_resolve_name_arch"),
                    resolve_num_arch: symbol(handle, c"seccomp_syscall_resolve_num_arch"),
                    rule_add_array: symbol(handle, c"seccomp_rule_add_array"),
                    export_bpf: symbol(handle, c"seccomp_export_bpf"),
                    version: symbol(handle, c"seccomp_version"),
                }
            }
        })
    }

    pub(super) fn version(&self) -> [c_uint; 3] {
        // SAFETY: a pointer to a static of the library, whose first members these are.
        unsafe { *(self.version)() }
    }

    /// Whether the library knows that name at all.
    pub(super) fn knows(&self, name: &str) -> bool {
        self.resolve(name) != UNKNOWN
    }

    /// The number of a name; what the architecture lacks, or has through socketcall or ipc, is `None`.
    pub(super) fn number(&self, arch: Arch, name: &str) -> Option<u32> {
        u32::try_from(self.resolve_for(arch, name)).ok()
    }

    /// Whether the architecture has that call in any way.
    fn has(&self, arch: Arch, name: &str) -> bool {
        // -1 for an unknown name, -101 to -224 for operations of socketcall and ipc, -10001 and below for
        // what is missing.
        let number = self.resolve_for(arch, name);
        number > -10_000 && number != UNKNOWN
    }

    fn resolve_for(&self, arch: Arch, name: &str) -> c_int {
        let name = CString::new(name).unwrap();
        // SAFETY: a NUL-terminated name.
        unsafe { (self.resolve_name_arch)(arch as u32, name.as_ptr()) }
    }

    /// The name of a number.
    pub(super) fn name(&self, arch: Arch, number: u32) -> Option<String> {
        // SAFETY: the result is NULL or a string from malloc, which is ours to free.
        unsafe {
            let name = (self.resolve_num_arch)(arch as u32, number as c_int);
            if name.is_null() {
                return None;
            }
            let copy = CStr::from_ptr(name).to_str().unwrap().to_owned();
            libc::free(name.cast());
            Some(copy)
        }
    }

    /// Makes the program of a profile with the calls that runc makes, less its stub for newer calls. Skipped
    /// are names that the library does not know, and those that none of the architectures has: 2.5.4 keeps an
    /// empty entry for these, and where that comes first, it forgets to load the number. Says what the
    /// library said where it refuses a rule.
    pub(super) fn program(&self, profile: &LinuxSeccomp, archs: &[Arch]) -> Result<Vec<Instruction>, c_int> {
        let filter = Filter::new(self, profile, archs);
        for entry in profile.syscalls().iter().flatten() {
            for name in entry.names().iter().filter(|name| archs.iter().any(|arch| self.has(*arch, name))) {
                filter.add(profile, self.resolve(name), entry)?;
            }
        }
        Ok(filter.export())
    }

    /// The same for the native architecture alone, with rules by number, so that names newer than the library
    /// do no harm.
    pub(super) fn program_by_number(
        &self,
        profile: &LinuxSeccomp,
        number: impl Fn(&str) -> Option<u32>,
    ) -> Result<Vec<Instruction>, c_int> {
        let filter = Filter::new(self, profile, &[]);
        for entry in profile.syscalls().iter().flatten() {
            for number in entry.names().iter().filter_map(|name| number(name)) {
                filter.add(profile, number as c_int, entry)?;
            }
        }
        Ok(filter.export())
    }

    fn resolve(&self, name: &str) -> c_int {
        let name = CString::new(name).unwrap();
        // SAFETY: a NUL-terminated name.
        unsafe { (self.resolve_name)(name.as_ptr()) }
    }
}

/// A `scmp_filter_ctx`.
struct Filter<'a> {
    library: &'a Library,
    context: *mut c_void,
}

impl Filter<'_> {
    fn new<'a>(library: &'a Library, profile: &LinuxSeccomp, archs: &[Arch]) -> Filter<'a> {
        let default = profile.default_action().as_u32(profile.default_errno_ret());
        // SAFETY: init takes any action and returns a context or NULL; the others get that context.
        let context = unsafe {
            let context = (library.init)(default);
            assert!(!context.is_null(), "seccomp_init({default:#x})");
            let native = (library.arch_native)();
            for arch in archs.iter().map(|arch| *arch as u32).filter(|arch| *arch != native) {
                assert_eq!((library.arch_add)(context, arch), 0, "seccomp_arch_add({arch:#x})");
            }
            // The filters for the other machine.
            if !archs.is_empty() && archs.iter().all(|arch| *arch as u32 != native) {
                assert_eq!((library.arch_remove)(context, native), 0, "seccomp_arch_remove");
            }
            context
        };
        Filter { library, context }
    }

    fn add(&self, profile: &LinuxSeccomp, number: c_int, entry: &LinuxSyscall) -> Result<(), c_int> {
        let action = entry.action().as_u32(entry.errno_ret());
        if action == profile.default_action().as_u32(profile.default_errno_ret()) {
            return Ok(());
        }
        let arguments: Vec<Comparison> = entry.args().iter().flatten().map(comparison).collect();
        let repeated = arguments
            .iter()
            .enumerate()
            .any(|(index, one)| arguments[..index].iter().any(|other| other.argument == one.argument));
        let rules = if repeated { arguments.chunks(1).collect() } else { vec![&arguments[..]] };
        for rule in rules {
            // SAFETY: the context is alive, the comparisons outlive the call.
            let result = unsafe {
                (self.library.rule_add_array)(
                    self.context,
                    action,
                    number,
                    rule.len() as c_uint,
                    rule.as_ptr(),
                )
            };
            if result != 0 {
                return Err(result);
            }
        }
        Ok(())
    }

    fn export(&self) -> Vec<Instruction> {
        // SAFETY: a NUL-terminated name; the result is checked before anything is made of it.
        let fd = unsafe { libc::memfd_create(c"filter".as_ptr(), libc::MFD_CLOEXEC) };
        assert!(fd >= 0, "memfd_create");
        // SAFETY: the descriptor is ours alone.
        let mut file = unsafe { File::from_raw_fd(fd) };
        // SAFETY: the context is alive.
        let result = unsafe { (self.library.export_bpf)(self.context, file.as_raw_fd()) };
        assert_eq!(result, 0, "seccomp_export_bpf");
        let mut bytes = Vec::new();
        file.rewind().unwrap();
        file.read_to_end(&mut bytes).unwrap();
        let word = |bytes: &[u8]| u32::from_ne_bytes(bytes.try_into().unwrap());
        let code = |bytes: &[u8]| u16::from_ne_bytes(bytes.try_into().unwrap());
        bytes
            .chunks_exact(8)
            .map(|bytes| Instruction {
                code: code(&bytes[..2]),
                jt: bytes[2],
                jf: bytes[3],
                k: word(&bytes[4..]),
            })
            .collect()
    }
}

impl Drop for Filter<'_> {
    fn drop(&mut self) {
        // SAFETY: the context is alive and not used again.
        unsafe { (self.library.release)(self.context) }
    }
}

fn comparison(argument: &LinuxSeccompArg) -> Comparison {
    // libseccomp numbers the operators as oci_spec does.
    let operator = argument.op() as c_int;
    assert_eq!(LinuxSeccompOperator::ScmpCmpMaskedEq as c_int, 7);
    let (first, second) = (argument.value(), argument.value_two().unwrap_or(0));
    Comparison { argument: argument.index() as c_uint, operator, first, second }
}

/// A function of the library.
///
/// # Safety
/// `F` must be the function's type.
unsafe fn symbol<F: Copy>(handle: *mut c_void, name: &CStr) -> F {
    // SAFETY: the handle is open, the name ends with NUL.
    let symbol = unsafe { libc::dlsym(handle, name.as_ptr()) };
    assert!(!symbol.is_null(), "libseccomp.so.2 has no {name:?}");
    assert_eq!(size_of::<F>(), size_of::<*mut c_void>());
    // SAFETY: a function pointer has the size of any other, and the caller vouches for its type.
    unsafe { std::mem::transmute_copy::<*mut c_void, F>(&symbol) }
}
