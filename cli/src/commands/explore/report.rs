//! What was found, printed once: as tables, or as JSON. PURE.

use std::path::Path;

use image::{ChangeKind, Count, Explored, Supplier};
use serde_json::{Value as Json, json};

use super::Subject;
use crate::output::{size, table, visible};

/// Paths with wasted bytes that a table has, and that JSON has.
const WASTE: usize = 20;
const WASTE_IN_JSON: usize = 1000;
/// Columns of a command.
const COMMAND: usize = 45;

/// The first line: what it is, and what it comes to.
pub(super) fn headline(subject: &Subject, explored: &Explored) -> String {
    format!(
        "{}  {} layers  {} seen  {} wasted  {:.1} % efficient{}",
        visible(&subject.name),
        explored.layers.len(),
        size::decimal_to_four(explored.seen),
        size::decimal_to_four(explored.wasted),
        // Never more than there is.
        (explored.efficiency() * 1000.0).floor() / 10.0,
        if explored.is_cut { "  (too much to tell all)" } else { "" }
    )
}

/// Objects, and their bytes where there are any.
pub(super) fn counted(count: Count) -> String {
    match count {
        Count { objects: 0, .. } => "-".to_owned(),
        Count { objects, bytes: 0 } => objects.to_string(),
        Count { objects, bytes } => format!("{objects} ({})", size::decimal_to_four(bytes)),
    }
}

/// Tables, the lowest layer first.
pub(super) fn text(subject: &Subject, explored: &Explored) -> String {
    let rows: Vec<Vec<String>> = (0..explored.layers.len())
        .map(|index| {
            let layer = &explored.layers[index];
            let counts = match layer.is_covered {
                true => ["covered", "", ""].map(str::to_owned),
                false => [layer.added, layer.changed, layer.hidden].map(counted),
            };
            let [added, changed, hidden] = counts;
            let command = table::shortened(&subject.command(index, explored), COMMAND);
            vec![index.to_string(), subject.label(index, explored), added, changed, hidden, command]
        })
        .collect();
    let layers = table::table_with(1, &["#", "LAYER", "ADDED", "CHANGED", "HIDDEN", "CREATED BY"], &rows);
    let mut text = format!("{}\n\n{layers}", headline(subject, explored));
    if !explored.waste.is_empty() {
        let rows: Vec<Vec<String>> = (explored.waste.iter().take(WASTE))
            .map(|waste| {
                vec![size::decimal_to_four(waste.bytes), waste.times.to_string(), visible(&waste.path)]
            })
            .collect();
        text += &format!("\n{}", table::table(&["WASTED", "TIMES", "PATH"], &rows));
        if explored.waste.len() > WASTE {
            text += &format!("and {} more\n", explored.waste.len() - WASTE);
        }
    }
    text
}

/// The same for programs: bytes, and whole digests.
pub(super) fn json(subject: &Subject, explored: &Explored) -> Json {
    let count = |count: Count| json!({ "Objects": count.objects, "Bytes": count.bytes });
    let layers = explored.layers.iter().enumerate().map(|(index, layer)| {
        json!({
            "Index": index,
            "Layer": layer.diff_id.map(|id| id.to_string()),
            "CreatedBy": subject.made_by.get(index).filter(|_| layer.diff_id.is_some()),
            "Covered": layer.is_covered,
            "Added": count(layer.added),
            "Changed": count(layer.changed),
            "Hidden": count(layer.hidden),
        })
    });
    let waste = explored.waste.iter().take(WASTE_IN_JSON);
    let waste = waste.map(|waste| json!({ "Path": waste.path, "Bytes": waste.bytes, "Times": waste.times }));
    json!({
        "Name": subject.name,
        "Id": subject.image.id.to_string(),
        "Seen": explored.seen,
        "Wasted": explored.wasted,
        "Efficiency": explored.efficiency(),
        "Incomplete": explored.is_cut,
        "Layers": layers.collect::<Vec<_>>(),
        "WastedPaths": waste.collect::<Vec<_>>(),
    })
}

/// What a layer that has something at a path is called.
fn place(subject: &Subject, supplier: &Supplier) -> String {
    let diff_ids = subject.image.config.rootfs().diff_ids();
    diff_ids
        .get(supplier.layer)
        .map_or_else(|| "(container)".to_owned(), |id| id.get(7..19).unwrap_or(id).to_owned())
}

/// The layers that have something at a path, topmost first.
pub(super) fn suppliers(subject: &Subject, suppliers: &[Supplier]) -> String {
    let rows: Vec<Vec<String>> = suppliers
        .iter()
        .map(|supplier| {
            let size =
                if supplier.kind == "file" { size::decimal_to_four(supplier.bytes) } else { "-".to_owned() };
            let seen = if supplier.is_seen { "seen" } else { "" };
            [
                supplier.layer.to_string(),
                place(subject, supplier),
                supplier.kind.to_owned(),
                size,
                seen.to_owned(),
            ]
            .into()
        })
        .collect();
    table::table_with(1, &["#", "LAYER", "KIND", "SIZE", ""], &rows)
        .lines()
        .map(|line| format!("{}\n", line.trim_end()))
        .collect()
}

/// The same for programs.
pub(super) fn suppliers_json(subject: &Subject, path: &Path, suppliers: &[Supplier]) -> Json {
    let diff_ids = subject.image.config.rootfs().diff_ids();
    let layers = suppliers.iter().map(|supplier| {
        json!({
            "Index": supplier.layer,
            "Layer": diff_ids.get(supplier.layer),
            "Kind": supplier.kind,
            "Bytes": supplier.bytes,
            "Seen": supplier.is_seen,
        })
    });
    json!({ "Path": path.to_string_lossy(), "Layers": layers.collect::<Vec<_>>() })
}

/// As `mini diff` has it, and for what is hidden as well.
pub(super) fn letter(kind: ChangeKind) -> char {
    match kind {
        ChangeKind::Added => 'A',
        ChangeKind::Changed => 'C',
        ChangeKind::Hidden => 'D',
    }
}
