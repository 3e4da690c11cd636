//! Tries every seed on its target, without a fuzzer: what `cargo xtask ci` does.

use std::path::Path;

#[test]
fn every_target_takes_its_seeds_and_nothing_at_all() {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds");
    for (name, target) in fuzz::TARGETS {
        target(b"");
        let entries = std::fs::read_dir(seeds.join(name)).expect("each target has seeds");
        let paths: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
        assert!(!paths.is_empty(), "{name} has no seeds");
        for path in paths {
            eprintln!("{}", path.display());
            target(&std::fs::read(path).expect("a file"));
        }
    }
    let mut files: Vec<_> =
        std::fs::read_dir(seeds.with_file_name("fuzz_targets")).expect("the targets' files").collect();
    files.retain(Result::is_ok);
    assert_eq!(files.len(), fuzz::TARGETS.len(), "each target has a file");
}
