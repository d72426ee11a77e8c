//! Releases memory. A supervisor or a name server is idle for almost all of its life, so the memory that it needed to
//! start need not stay resident.

use std::ffi::{CStr, c_int, c_void};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::time::Duration;

/// How long a process must be idle before it releases memory.
pub const QUIET: Duration = Duration::from_millis(500);

/// Returns memory to the kernel: what the allocator keeps, the part of the stack that no call uses, and the pages of code
/// and constants, which the kernel reads again from the page cache when they are needed.
#[inline(never)]
pub fn give_back() {
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
    let page = page_size();
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

/// Returns the size of a page in bytes.
fn page_size() -> usize {
    // SAFETY: asks for a number.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(size).unwrap_or(4096)
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

/// Unmaps the pages of every segment of an object that are the same as in its file. No page of a read-only segment was
/// ever changed, because the data that the loader relocates lies in writable segments, even if the loader protects it
/// afterwards. Of a writable segment, the kernel says which pages were changed.
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
    let page = page_size();
    for header in headers.iter().filter(|header| header.p_type == libc::PT_LOAD) {
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
        if header.p_flags & libc::PF_W == 0 {
            // SAFETY: a private mapping of a file of which no page was written: each page reads the same afterwards.
            unsafe { release(first, length, &[libc::MADV_NOHUGEPAGE, libc::MADV_DONTNEED]) };
            continue;
        }
        for index in unchanged(first, length.div_ceil(page), page) {
            // SAFETY: this page of a private mapping of a file was not written, and this process has no other thread that
            // could write to it now: it reads the same afterwards.
            unsafe { release(first + index * page, page, &[libc::MADV_DONTNEED]) };
        }
    }
    0
}

/// Unmaps pages with pieces of advice of madvise(2). MADV_NOHUGEPAGE is for whole segments: with huge pages, one page
/// that is used again takes two megabytes. For a part of a segment it would split the mapping.
///
/// # Safety
/// The pages belong to a private mapping of a file, and none of them was written.
unsafe fn release(first: usize, length: usize, advice: &[c_int]) {
    for advice in advice {
        // SAFETY: the caller promises that each page reads the same afterwards. No crate wraps this, because it is unsound
        // for any other memory.
        unsafe { libc::madvise(std::ptr::with_exposed_provenance_mut(first), length, *advice) };
    }
}

/// Returns the indexes of those pages, among `count` pages from an address on, that are resident and were not changed
/// since they were mapped from a file. Returns none if the kernel does not say, or if another thread could change a page
/// meanwhile.
fn unchanged(first: usize, count: usize, page: usize) -> Vec<usize> {
    /// Bits of an entry of /proc/PID/pagemap (Linux, Documentation/admin-guide/mm/pagemap.rst).
    const PRESENT: u64 = 1 << 63;
    const FROM_FILE: u64 = 1 << 61;
    if std::fs::read_dir("/proc/self/task").map_or(0, Iterator::count) != 1 {
        return Vec::new();
    }
    let mut entries = vec![0; count * size_of::<u64>()];
    let read = u64::try_from(first / page * size_of::<u64>())
        .map_err(io::Error::other)
        .and_then(|at| File::open("/proc/self/pagemap")?.read_exact_at(&mut entries, at));
    if read.is_err() {
        return Vec::new();
    }
    let entries = entries.chunks_exact(size_of::<u64>()).filter_map(|bytes| bytes.try_into().ok());
    let is_unchanged = |entry: u64| entry & PRESENT != 0 && entry & FROM_FILE != 0;
    let indexed = entries.map(u64::from_ne_bytes).enumerate();
    indexed.filter(|(_, entry)| is_unchanged(*entry)).map(|(index, _)| index).collect()
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

    /// A table that the loader need not change, in a segment that is writable while the loader works.
    static TABLE: [fn() -> u64; 1] = [deep_call];
    static WRITTEN: std::sync::Mutex<[u8; 64 * 1024]> = std::sync::Mutex::new([7; 64 * 1024]);

    #[test]
    fn only_data_that_was_not_written_is_released() {
        // Releases data only in a process with one thread, which a test is not.
        // SAFETY: the child calls no code that needs another thread, and ends without running destructors.
        match unsafe { nix::unistd::fork() }.unwrap() {
            nix::unistd::ForkResult::Child => {
                let is_right = written_data_stays();
                // SAFETY: ends this process at once.
                unsafe { libc::_exit(i32::from(!is_right)) }
            }
            nix::unistd::ForkResult::Parent { child } => {
                let status = nix::sys::wait::waitpid(child, None).unwrap();
                assert_eq!(status, nix::sys::wait::WaitStatus::Exited(child, 0));
            }
        }
    }

    /// Writes a page of [`WRITTEN`], reads another, and returns whether just the former is kept when memory is released.
    fn written_data_stays() -> bool {
        let mut data = WRITTEN.lock().unwrap();
        let page = page_size();
        data[100] = 8;
        let read = data[10 * page];
        let start = data.as_ptr().addr();
        let first = start - start % page;
        let index = |offset: usize| (start + offset - first) / page;
        let pages = unchanged(first, data.len() / page, page);
        let is_listed = !pages.contains(&index(100)) && pages.contains(&index(10 * page));
        give_back();
        let is_released = !unchanged(first, data.len() / page, page).contains(&index(10 * page));
        is_listed && is_released && (data[100], data[10 * page], read) == (8, 7, 7) && TABLE[0]() == 512
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
