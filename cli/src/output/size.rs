//! Sizes as docker prints them. PURE.

/// Powers of 1000, three significant digits: of images and traffic (docker's units.HumanSize with `%.3g`).
pub(crate) fn decimal(bytes: u64) -> String {
    text(bytes, 1000.0, ["B", "kB", "MB", "GB", "TB", "PB"], 3)
}

/// Powers of 1000, four significant digits (docker's units.HumanSize).
pub(crate) fn decimal_to_four(bytes: u64) -> String {
    text(bytes, 1000.0, ["B", "kB", "MB", "GB", "TB", "PB"], 4)
}

/// Powers of 1024, four significant digits: of memory (docker's units.BytesSize).
pub(crate) fn binary(bytes: u64) -> String {
    text(bytes, 1024.0, ["B", "KiB", "MiB", "GiB", "TiB", "PiB"], 4)
}

fn text(bytes: u64, base: f64, units: [&str; 6], significant: usize) -> String {
    if (bytes as f64) < base {
        return format!("{bytes}{}", units[0]);
    }
    let (mut value, mut unit) = (bytes as f64, 0);
    while value >= base && unit + 1 < units.len() {
        value /= base;
        unit += 1;
    }
    let digits = significant.saturating_sub((value as u64).to_string().len());
    let text = format!("{value:.digits$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{text}{}", units[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_dockers() {
        for (bytes, expected) in [
            (0, "0B"),
            (999, "999B"),
            (1000, "1kB"),
            (4_261_574, "4.26MB"),
            (77_900_000, "77.9MB"),
            (1_130_000_000, "1.13GB"),
            (100_000, "100kB"),
        ] {
            assert_eq!(decimal(bytes), expected);
        }
        assert_eq!([decimal_to_four(4_261_574), decimal_to_four(100)], ["4.262MB", "100B"]);
    }

    #[test]
    fn sizes_of_memory_are_dockers() {
        for (bytes, expected) in [
            (0, "0B"),
            (1000, "1000B"),
            (1536, "1.5KiB"),
            (52_428_800, "50MiB"),
            (1_048_575, "1024KiB"),
            (25_276_968_960, "23.54GiB"),
        ] {
            assert_eq!(binary(bytes), expected);
        }
    }
}
