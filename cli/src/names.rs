//! Names for containers that nobody named: an adjective and somebody who made computing what it is.

/// One word of each, chosen by the container's id: two ids of 64 digits hardly agree in both.
pub(crate) fn generate(id: &str, attempt: usize) -> String {
    let number = |from: usize| usize::from_str_radix(&id[from..from + 6], 16).unwrap_or(0) + attempt;
    let name =
        format!("{}_{}", ADJECTIVES[number(0) % ADJECTIVES.len()], SURNAMES[number(6) % SURNAMES.len()]);
    if attempt > 2 { format!("{name}{}", attempt - 2) } else { name }
}

const ADJECTIVES: [&str; 64] = [
    "able", "agile", "amber", "ample", "brave", "bright", "brisk", "calm", "candid", "civil", "clever",
    "cordial", "crisp", "curious", "daring", "deft", "eager", "earnest", "fair", "fluent", "fond", "frank",
    "gentle", "glad", "golden", "grand", "happy", "hardy", "honest", "humble", "jolly", "keen", "kind",
    "lively", "loyal", "lucid", "mellow", "merry", "modest", "neat", "nimble", "noble", "open", "patient",
    "placid", "plucky", "polite", "proud", "quick", "quiet", "ready", "serene", "sharp", "silent", "sincere",
    "sober", "steady", "sunny", "swift", "tidy", "vivid", "warm", "witty", "zesty",
];

const SURNAMES: [&str; 64] = [
    "allen",
    "babbage",
    "backus",
    "bartik",
    "berners",
    "blum",
    "boole",
    "borg",
    "brooks",
    "cerf",
    "church",
    "clarke",
    "codd",
    "conway",
    "corbato",
    "curry",
    "dahl",
    "diffie",
    "dijkstra",
    "easley",
    "eckert",
    "engelbart",
    "estrin",
    "feinler",
    "floyd",
    "goldberg",
    "gosling",
    "granville",
    "gray",
    "hamilton",
    "hamming",
    "hellman",
    "hoare",
    "holberton",
    "hopper",
    "iverson",
    "jennings",
    "johnson",
    "kahn",
    "karp",
    "kay",
    "kernighan",
    "keller",
    "kilburn",
    "knuth",
    "lamport",
    "liskov",
    "lovelace",
    "mauchly",
    "mcnulty",
    "meltzer",
    "milner",
    "naur",
    "neumann",
    "nygaard",
    "perlman",
    "postel",
    "ritchie",
    "shannon",
    "sutherland",
    "tarjan",
    "thompson",
    "turing",
    "wirth",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_valid_and_the_next_attempt_is_another() {
        let id = "3f2a9c81d04be577".repeat(4);
        let names: Vec<String> = (0..6).map(|attempt| generate(&id, attempt)).collect();
        let mut distinct = names.clone();
        distinct.sort();
        distinct.dedup();
        assert_eq!(distinct.len(), names.len());
        assert!(names.iter().all(|name| crate::plan::values::name(name).is_ok()));
    }
}
