//! A disk that forgets what was not flushed, when its machine is killed: an empty qcow2 overlay over another image. PURE.
//!
//! qemu keeps the table of an overlay's clusters in memory, and writes it when the machine flushes its disk (or when it needs room,
//! as a real disk does). A cluster that is new since then is in no table on disk when qemu is killed, and the image below shows through.
//! So each power loss gets an overlay of its own, in which every cluster is new; a cluster is as large as a page, so that what was flushed
//! hides little of what was not.
//!
//! QEMU: docs/interop/qcow2.txt.

/// Bytes of a cluster, as a power of two.
const CLUSTER_BITS: u32 = 12;
const CLUSTER: u64 = 1 << CLUSTER_BITS;

/// The largest disk whose first table is one cluster.
const LARGEST: u64 = (CLUSTER / 8) * (CLUSTER / 8) * CLUSTER;

/// The file of an overlay of `size` bytes over the file `below`, which is of `format`.
pub(super) fn overlay(size: u64, below: &str, format: &str) -> Vec<u8> {
    assert!(size <= LARGEST, "a disk of {size} bytes; at most {LARGEST} are addressed by one table");
    let tables = size.div_ceil((CLUSTER / 8) * CLUSTER);
    let mut header = Vec::new();
    let mut put = |bytes: &[u8]| header.extend_from_slice(bytes);
    let extension_end = 104 + 8 + format.len().next_multiple_of(8) as u64 + 8;
    put(b"QFI\xfb");
    put(&3_u32.to_be_bytes());
    put(&extension_end.to_be_bytes());
    put(&u32::try_from(below.len()).expect("a path is short").to_be_bytes());
    put(&CLUSTER_BITS.to_be_bytes());
    put(&size.to_be_bytes());
    // Not encrypted.
    put(&0_u32.to_be_bytes());
    // The first table, in the fourth cluster.
    put(&u32::try_from(tables).expect("a table is a cluster").to_be_bytes());
    put(&(3 * CLUSTER).to_be_bytes());
    // The table of reference counts, in the second cluster; it is one cluster.
    put(&CLUSTER.to_be_bytes());
    put(&1_u32.to_be_bytes());
    // No snapshots, no features; counts have 2^4 bits; this header has 104 bytes.
    put(&[0; 4 + 8 + 3 * 8]);
    put(&4_u32.to_be_bytes());
    put(&104_u32.to_be_bytes());
    // An extension says of what format the image below is; the next one that there is none.
    put(&0xe279_2aca_u32.to_be_bytes());
    put(&u32::try_from(format.len()).expect("a word is short").to_be_bytes());
    put(format.as_bytes());
    put(&vec![0; format.len().next_multiple_of(8) - format.len() + 8]);
    put(below.as_bytes());
    assert!(header.len() as u64 <= CLUSTER, "the path {below} is too long for a header");

    let mut file = vec![0; 4 * usize::try_from(CLUSTER).expect("a cluster is small")];
    file[..header.len()].copy_from_slice(&header);
    let mut at = |cluster: u64, bytes: &[u8]| {
        let begin = usize::try_from(cluster * CLUSTER).expect("four clusters are small");
        file[begin..begin + bytes.len()].copy_from_slice(bytes);
    };
    // The block of counts is the third cluster; these four clusters are used once.
    at(1, &(2 * CLUSTER).to_be_bytes());
    at(2, &[0, 1, 0, 1, 0, 1, 0, 1]);
    file
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_overlay_says_where_its_tables_are_and_what_is_below() {
        let file = overlay(600 << 20, "/d/base", "raw");
        let word = |at: usize| u64::from_be_bytes(file[at..at + 8].try_into().unwrap());
        assert_eq!((&file[..8], file.len()), (&b"QFI\xfb\0\0\0\x03"[..], 4 * 4096));
        let name = usize::try_from(word(8)).unwrap();
        assert_eq!(&file[name..name + 8], b"/d/base\0");
        assert_eq!(&file[104..120], b"\xe2\x79\x2a\xca\0\0\0\x03raw\0\0\0\0\0");
        assert_eq!((word(24), word(40), word(48)), (600 << 20, 3 * 4096, 4096));
        assert_eq!(file[36..40], 300_u32.to_be_bytes(), "tables of 512 clusters each");
        assert_eq!((word(4096), word(2 * 4096)), (2 * 4096, 0x0001_0001_0001_0001));
    }
}
