//! What libFuzzer says of a search, as a table (LLVM's documentation, libFuzzer, "Output"). PURE.

/// What came of one search.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Figures {
    /// Inputs tried.
    executions: u64,
    /// A second.
    rate: u64,
    /// Edges of the program that some input has taken, of all.
    covered: u64,
    edges: u64,
    /// Inputs worth keeping.
    corpus: u64,
}

impl Figures {
    /// `None` where the target did not come to an end.
    pub(super) fn read(said: &str) -> Option<Figures> {
        let statistic = |name: &str| {
            let line = said.lines().find_map(|line| line.strip_prefix(name))?;
            line.trim_start_matches(':').trim().parse().ok()
        };
        // `INFO: Loaded 1 modules   (70123 inline 8-bit counters): …`
        let edges = said.lines().find_map(|line| {
            line.strip_prefix("INFO: Loaded 1 modules")?.split_once('(')?.1.split(' ').next()?.parse().ok()
        })?;
        // `#4 DONE   cov: 41 ft: 42 corp: 3/12b …`
        let last = said.lines().rfind(|line| line.starts_with('#') && line.contains(" cov: "))?;
        let after = |name: &str| {
            let word = last.split_once(name)?.1.split_whitespace().next()?;
            word.split('/').next()?.parse().ok()
        };
        Some(Figures {
            executions: statistic("stat::number_of_executed_units")?,
            rate: statistic("stat::average_exec_per_sec")?,
            covered: after(" cov: ")?,
            edges,
            corpus: after(" corp: ").unwrap_or(0),
        })
    }
}

/// A line for each target.
pub(super) fn table(rows: &[(&str, Option<Figures>, Vec<String>)]) -> String {
    let mut table = format!(
        "{:<14} {:>12} {:>8} {:>16} {:>7} {:>8}\n",
        "", "executions", "a second", "edges covered", "corpus", "findings"
    );
    for (name, figures, findings) in rows {
        let count = findings.len();
        table += &match figures {
            Some(Figures { executions, rate, covered, edges, corpus }) => {
                let edges = format!("{covered} of {edges}");
                format!("{name:<14} {executions:>12} {rate:>8} {edges:>16} {corpus:>7} {count:>8}\n")
            }
            None => format!("{name:<14} {:>12} {:>8} {:>16} {:>7} {count:>8}\n", "broken off", "", "", ""),
        };
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &str = "\
INFO: Running with entropic power schedule (0xFF, 100).
INFO: Loaded 1 modules   (70123 inline 8-bit counters): 70123 [0x1, 0x2),
#3      INITED cov: 40 ft: 41 corp: 2/2b exec/s: 0 rss: 60Mb
#524288 DONE   cov: 412 ft: 998 corp: 77/3021b lim: 4096 exec/s: 8738 rss: 400Mb
Done 524288 runs in 61 second(s)
stat::number_of_executed_units: 524288
stat::average_exec_per_sec:     8594
stat::peak_rss_mb:              400
";

    #[test]
    fn what_a_search_says_becomes_a_line() {
        let figures = Figures::read(SAID);
        assert_eq!(
            figures,
            Some(Figures { executions: 524_288, rate: 8594, covered: 412, edges: 70_123, corpus: 77 })
        );
        let rows = [("tar", figures, vec![]), ("index", Figures::read("SUMMARY: …"), vec!["x".to_owned()])];
        let wanted = "                 executions a second    edges covered  corpus findings\n\
                      tar                  524288     8594     412 of 70123      77        0\n\
                      index            broken off                                          1\n";
        assert_eq!(table(&rows), wanted);
    }
}
