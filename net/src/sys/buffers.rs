//! A provided-buffer ring: equal buffers which the kernel picks from when bytes arrive.
//!
//! **Owns**: one anonymous mapping that holds the ring's entries followed by the buffers.
//! **Invariants**: a buffer belongs either to the kernel (listed in the ring) or to the one [`Lease`] that names it;
//! a lease cannot be copied, so a buffer is listed at most once and never read while the kernel may write it.
//! **Bounds**: the number of buffers and their size are fixed at construction; an empty ring fails a receive with
//! ENOBUFS, which the driver counts and retries.

use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::types::BufRingEntry;

/// The right to read one received buffer. Not `Clone`: whoever holds it is the buffer's only user.
#[derive(Debug)]
pub(crate) struct Lease {
    id: u16,
    len: u32,
}

/// The mapping and the position in its ring.
pub(super) struct BufferRing {
    base: NonNull<u8>,
    mapped_bytes: usize,
    data_offset: usize,
    count: u16,
    buffer_bytes: u32,
    tail: u16,
}

const PAGE_BYTES: usize = 4096;
/// Where the ring's tail lies: the `resv` field of its first entry (see `io_uring_buf_ring` in the kernel's ABI).
const TAIL_OFFSET: usize = 14;
const ENTRY_BYTES: usize = size_of::<BufRingEntry>();
const _: () = assert!(ENTRY_BYTES == 16 && TAIL_OFFSET + 2 == ENTRY_BYTES);

impl BufferRing {
    /// Maps `count` buffers (a power of two, at most 32,768) of `buffer_bytes` each and lists all of them.
    pub(super) fn new(count: u16, buffer_bytes: u32) -> io::Result<Self> {
        assert!(count.is_power_of_two() && count <= 1 << 15, "the kernel wants a power of two up to 32,768");
        assert!(buffer_bytes > 0, "a buffer holds at least a byte");
        let data_offset = (usize::from(count) * ENTRY_BYTES).next_multiple_of(PAGE_BYTES);
        let mapped_bytes =
            (data_offset + usize::from(count) * buffer_bytes as usize).next_multiple_of(PAGE_BYTES);
        // SAFETY: a fresh private anonymous mapping at an address of the kernel's choice aliases nothing.
        let base = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                mapped_bytes,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let base = NonNull::new(base.cast::<u8>()).expect("mmap without MAP_FIXED never returns page zero");
        // SAFETY: exactly the mapping made above. A forked child must not share pages the kernel writes; that the
        // advice may fail is harmless, because this process only ever spawns with exec.
        unsafe { libc::madvise(base.as_ptr().cast(), mapped_bytes, libc::MADV_DONTFORK) };
        let mut ring = Self { base, mapped_bytes, data_offset, count, buffer_bytes, tail: 0 };
        for id in 0..count {
            ring.list(id);
        }
        Ok(ring)
    }

    /// Address of the ring's entries, for registration.
    pub(super) fn ring_address(&self) -> u64 {
        self.base.as_ptr() as u64
    }

    /// Number of buffers.
    pub(super) fn count(&self) -> u16 {
        self.count
    }

    /// The lease for a buffer the kernel just filled.
    ///
    /// # Safety
    /// `id` and `len` come from one completion of a receive on this ring that has not been leased before.
    pub(super) unsafe fn lease(&self, id: u16, len: u32) -> Lease {
        assert!(id < self.count && len <= self.buffer_bytes, "the kernel names only buffers it was given");
        Lease { id, len }
    }

    /// The received bytes.
    pub(super) fn bytes(&self, lease: &Lease) -> &[u8] {
        // SAFETY: the lease proves that the kernel has let go of this buffer and cannot write it until `recycle`
        // takes the lease; `lease()` checked that the range lies inside the mapping.
        unsafe {
            let start = self.base.as_ptr().add(self.data_offset + self.offset_of(lease.id));
            std::slice::from_raw_parts(start, lease.len as usize)
        }
    }

    /// The first buffer, to be written by whoever never registered this ring with the kernel.
    pub(super) fn scratch(&mut self) -> &mut [u8] {
        // SAFETY: inside the mapping, which is exclusively borrowed; leases borrow nothing, and the driver reads each
        // before it asks for the scratch again. Not registered, the kernel writes it only when asked to by a call.
        unsafe {
            let start = self.base.as_ptr().add(self.data_offset);
            std::slice::from_raw_parts_mut(start, self.buffer_bytes as usize)
        }
    }

    /// Gives the buffer back to the kernel.
    #[expect(clippy::needless_pass_by_value, reason = "taking the lease is what ends the right to read")]
    pub(super) fn recycle(&mut self, lease: Lease) {
        self.list(lease.id);
    }

    fn offset_of(&self, id: u16) -> usize {
        usize::from(id) * self.buffer_bytes as usize
    }

    fn list(&mut self, id: u16) {
        let address = self.base.as_ptr() as u64 + (self.data_offset + self.offset_of(id)) as u64;
        let position = usize::from(self.tail & (self.count - 1));
        // SAFETY: `position < count`, so the entry lies inside the mapping and is aligned (16-byte entries from a
        // page). The kernel reads an entry only below the published tail, and at most `count` are ever listed, so it
        // does not read this one now. The tail shares the first entry's last two bytes, which `set_*` do not touch.
        unsafe {
            let entry = self.base.as_ptr().cast::<BufRingEntry>().add(position);
            (*entry).set_addr(address);
            (*entry).set_len(self.buffer_bytes);
            (*entry).set_bid(id);
        }
        self.tail = self.tail.wrapping_add(1);
        // SAFETY: the tail is an aligned u16 inside the mapping, shared with the kernel, and only ever written here.
        // Release publishes the entry above before the tail that covers it.
        unsafe { AtomicU16::from_ptr(self.base.as_ptr().add(TAIL_OFFSET).cast::<u16>()) }
            .store(self.tail, Ordering::Release);
    }
}

impl Drop for BufferRing {
    fn drop(&mut self) {
        // SAFETY: exactly the mapping made in `new`. `Ring` drops this after the last receive has ended, and leases
        // borrow nothing.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.mapped_bytes) };
    }
}
