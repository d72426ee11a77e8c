//! Releases memory. A supervisor is idle for almost all of its life, so the memory that it needed to start its pods
//! need not stay resident.

use std::ffi::{CStr, c_int, c_void};
use std::time::Duration;

/// How long a supervisor must be idle before it releases memory.
pub(super) const QUIET: Duration = Duration::from_millis(500);

/// Returns memory to the kernel: what the allocator keeps, the part of the stack that no call uses, and the pages of code
/// and constants, which the kernel reads again from the page cache when they are needed.
pub(super) fn give_back() {
    release_stack();
    // SAFETY: the allocator's own function, which may be called at any time.
    unsafe { libc::malloc_trim(0) };
    // SAFETY: the callback has the right type and uses what it is given only while it runs.
    unsafe { libc::dl_iterate_phdr(Some(forget), std::ptr::null_mut()) };
}

/// How far below the frame of [`release_stack`] the stack stays untouched: room for the frame itself and for the calls
/// that it makes, in bytes.
const STACK_KEPT: usize = 16 * 1024;

/// Releases the pages of the stack below the current frame. Parsing a record or creating a pod needs 100 KiB of stack
/// once, and the kernel keeps pages that were touched until the process ends.
fn release_stack() {
    let marker = 0_u8;
    let here = std::hint::black_box(&raw const marker).addr();
    let Some(start) =
        std::fs::read_to_string("/proc/self/maps").ok().and_then(|maps| mapping_start(&maps, here))
    else {
        return;
    };
    let page = rustix::param::page_size();
    let end = here.saturating_sub(STACK_KEPT);
    let end = end - end % page;
    if end > start {
        // SAFETY: the pages lie below every frame that is in use, in the mapping of this thread's stack. They hold nothing
        // that is read again before it is written. No crate wraps this, because it is unsound for any other memory.
        unsafe {
            libc::madvise(std::ptr::with_exposed_provenance_mut(start), end - start, libc::MADV_DONTNEED)
        };
    }
}

/// Returns the first address of the mapping that contains an address.
fn mapping_start(maps: &str, address: usize) -> Option<usize> {
    maps.lines().find_map(|line| {
        let (start, end) = line.split_once(' ')?.0.split_once('-')?;
        let start = usize::from_str_radix(start, 16).ok()?;
        let end = usize::from_str_radix(end, 16).ok()?;
        (start..end).contains(&address).then_some(start)
    })
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

    /// Returns the kB of the stack of this thread that are resident.
    fn stack() -> u64 {
        let marker = 0_u8;
        let here = std::hint::black_box(&raw const marker).addr();
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        let start = format!("{:x}-", mapping_start(&maps, here).unwrap());
        let smaps = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let lines = smaps.lines().skip_while(|line| !line.trim_start_matches('0').starts_with(&start));
        let rss = lines.clone().find_map(|line| line.strip_prefix("Rss:")).unwrap();
        rss.trim().trim_end_matches(" kB").parse().unwrap()
    }

    // The array has to be on the stack: that is what the test is about.
    #[allow(clippy::large_stack_arrays)]
    #[inline(never)]
    fn deep_call() -> u64 {
        let mut room = [0_u8; 512 * 1024];
        for byte in room.iter_mut().step_by(1024) {
            *byte = 1;
        }
        std::hint::black_box(&room).iter().map(|byte| u64::from(*byte)).sum()
    }

    #[test]
    fn the_stack_of_a_deep_call_is_released() {
        assert_eq!(deep_call(), 512);
        let before = stack();
        give_back();
        assert!(stack() + 400 < before, "{before} kB were resident, now {}", stack());
        assert_eq!(deep_call(), 512, "the stack grows again by itself");
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
