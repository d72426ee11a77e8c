//! Releases memory. A supervisor is idle for almost all of its life, so the memory that it needed to start its pods
//! need not stay resident.

use std::ffi::{CStr, c_int, c_void};
use std::time::Duration;

/// How long a supervisor must be idle before it releases memory.
pub(super) const QUIET: Duration = Duration::from_millis(500);

/// Releases what the allocator keeps, and the resident pages of code and constants. Those pages belong to the page
/// cache, and the kernel maps a page again when it is used.
pub(super) fn give_back() {
    // SAFETY: the allocator's own function, which may be called at any time.
    unsafe { libc::malloc_trim(0) };
    // SAFETY: the callback has the right type and uses what it is given only while it runs.
    unsafe { libc::dl_iterate_phdr(Some(forget), std::ptr::null_mut()) };
}

/// Unmaps the pages of every read-only segment of an object. No page of such a segment was ever changed, because the
/// data that the loader relocates lies in writable segments, even if the loader protects it afterwards.
unsafe extern "C" fn forget(info: *mut libc::dl_phdr_info, _: usize, _: *mut c_void) -> c_int {
    // SAFETY: dl_iterate_phdr gives a valid object with its name and headers.
    let (object, name, headers) = unsafe {
        let object = &*info;
        let name = if object.dlpi_name.is_null() { c"" } else { CStr::from_ptr(object.dlpi_name) };
        (object, name, std::slice::from_raw_parts(object.dlpi_phdr, usize::from(object.dlpi_phnum)))
    };
    // The kernel's own object (vDSO) is not backed by a file.
    if name.to_bytes().windows(4).any(|part| part == b"vdso") {
        return 0;
    }
    let page = rustix::param::page_size();
    for header in headers.iter().filter(|h| h.p_type == libc::PT_LOAD && h.p_flags & libc::PF_W == 0) {
        let (Ok(offset), Ok(size)) = (usize::try_from(header.p_vaddr), usize::try_from(header.p_memsz))
        else {
            continue;
        };
        let Some(start) = usize::try_from(object.dlpi_addr).ok().and_then(|base| base.checked_add(offset))
        else {
            continue;
        };
        let first = start - start % page;
        let length = size + (start - first);
        // Huge pages are disabled, because with them one page that is used again takes two megabytes.
        for advice in [libc::MADV_NOHUGEPAGE, libc::MADV_DONTNEED] {
            // SAFETY: a private mapping of a file of which no page was written: each page reads the same afterwards.
            unsafe { libc::madvise(std::ptr::with_exposed_provenance_mut(first), length, advice) };
        }
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns how many kB of code are resident.
    fn code() -> u64 {
        let smaps = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let mut is_code = false;
        let mut sum = 0;
        for line in smaps.lines() {
            if line.split(' ').next().is_some_and(|word| word.contains('-')) {
                is_code = line.contains(" r-xp ");
            } else if let Some(rss) = line.strip_prefix("Rss:").filter(|_| is_code) {
                sum += rss.trim().trim_end_matches(" kB").parse::<u64>().unwrap();
            }
        }
        sum
    }

    #[test]
    fn code_is_released_and_mapped_again_when_used() {
        let words: Vec<String> = (0..100).map(|n| format!("word {n}")).collect();
        let before = code();
        give_back();
        assert!(code() < before, "{before} kB were resident, and are");
        assert_eq!(words.concat().matches("word").count(), 100);
    }
}
