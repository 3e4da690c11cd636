//! What the measurements come to: minima, medians, ratios, and whether each bar is met. PURE.

use std::fmt::Write;

/// One command, measured many times; milliseconds.
pub(super) struct Row {
    /// The kind of work, by which rows are grouped.
    pub(super) work: &'static str,
    /// Whose command it is.
    pub(super) who: &'static str,
    pub(super) samples: Vec<f64>,
}

/// What mini promises: its median of some work is at most `at_most` times that of `peer`.
pub(super) struct Bar {
    pub(super) work: &'static str,
    pub(super) peer: &'static str,
    pub(super) at_most: f64,
}

const OWN: &str = "mini";

/// The rows of one series, each kind of work under its own heading, with each peer's ratio to mini.
pub(super) fn table(title: &str, rows: &[Row]) -> String {
    let mut text = format!("{title}\n");
    let mut work = "";
    for row in rows {
        if row.work != work {
            work = row.work;
            let _infallible =
                writeln!(text, "  {:<34} {:>8} {:>8} {:>9}", work, "minimum", "median", "to mini");
        }
        let (Some(minimum), Some(median)) = (minimum(&row.samples), median(&row.samples)) else {
            let _infallible = writeln!(text, "    {:<32} not measured", row.who);
            continue;
        };
        let ratio =
            median_of(rows, work, OWN).map_or_else(String::new, |own| format!("{:.2} ×", median / own));
        let _infallible = writeln!(text, "    {:<32} {minimum:>8.2} {median:>8.2} {ratio:>9}", row.who);
    }
    text
}

/// One line a bar: what was promised, what was measured, met or missed.
pub(super) fn verdicts(rows: &[Row], bars: &[Bar]) -> String {
    let mut text = String::new();
    for bar in bars {
        let Bar { work, peer, at_most } = bar;
        let ratio =
            median_of(rows, work, OWN).zip(median_of(rows, work, peer)).map(|(own, other)| own / other);
        let judgement = match ratio {
            Some(ratio) if ratio <= *at_most => format!("{ratio:.4} met"),
            Some(ratio) => format!("{ratio:.4} MISSED"),
            None => "not measured".to_owned(),
        };
        let _infallible = writeln!(text, "  {:<44} at most {at_most:.4} × {peer:<10} {judgement}", *work);
    }
    text
}

fn median_of(rows: &[Row], work: &str, who: &str) -> Option<f64> {
    rows.iter().find(|row| row.work == work && row.who == who).and_then(|row| median(&row.samples))
}

fn minimum(samples: &[f64]) -> Option<f64> {
    samples.iter().copied().reduce(f64::min)
}

/// The middle one, or the mean of the two in the middle.
pub(super) fn median(samples: &[f64]) -> Option<f64> {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (low, high) = (sorted.len().checked_sub(1)? / 2, sorted.len() / 2);
    Some(f64::midpoint(sorted[low], sorted[high]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Vec<Row> {
        let row = |work, who, samples: &[f64]| Row { work, who, samples: samples.to_vec() };
        vec![
            row("run", "mini", &[5.0, 4.0, 9.0]),
            row("run", "docker", &[300.0, 310.0]),
            row("run", "podman", &[]),
            row("exec", "mini", &[2.0]),
            row("exec", "crun", &[8.0]),
        ]
    }

    #[test]
    fn the_table_has_ratios_within_each_kind_of_work() {
        let wanted = "\
back to back
  run                                 minimum   median   to mini
    mini                                 4.00     5.00    1.00 ×
    docker                             300.00   305.00   61.00 ×
    podman                           not measured
  exec                                minimum   median   to mini
    mini                                 2.00     2.00    1.00 ×
    crun                                 8.00     8.00    4.00 ×
";
        assert_eq!(table("back to back", &rows()), wanted);
    }

    #[test]
    fn a_bar_is_met_missed_or_not_measured() {
        let bar = |work, peer, at_most| Bar { work, peer, at_most };
        let text = verdicts(
            &rows(),
            &[bar("run", "docker", 1.0 / 30.0), bar("exec", "crun", 0.2), bar("run", "podman", 0.5)],
        );
        let endings: Vec<&str> = text.lines().map(|line| line.split("× ").nth(1).unwrap().trim()).collect();
        assert_eq!(endings, ["docker     0.0164 met", "crun       0.2500 MISSED", "podman     not measured"]);
    }

    #[test]
    fn medians_are_in_the_middle() {
        for (samples, wanted) in
            [(&[][..], None), (&[3.0], Some(3.0)), (&[9.0, 1.0], Some(5.0)), (&[9.0, 1.0, 2.0], Some(2.0))]
        {
            assert_eq!(median(samples), wanted);
        }
    }
}
