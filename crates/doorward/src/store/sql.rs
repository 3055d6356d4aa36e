//! Pieces of SQL text whose length depends on a list.

use std::fmt::Write;

/// Ids or rows in one statement at most. SQLite takes 32,766 parameters and PostgreSQL 65,535, but sqlx asks SQLite for
/// the name of each, which goes through all before it: 512 rows of three cost twice what 100 do.
pub(super) const CHUNK: usize = 100;

/// `$first, $first+1, …`
pub(super) fn parameters(first: usize, count: usize) -> String {
    let mut text = String::new();
    for i in 0..count {
        let _infallible = write!(text, "{}${}", if i == 0 { "" } else { ", " }, first + i);
    }
    text
}

/// `(VALUES ($first, …), (…)) AS v`: a table with `rows` rows, whose columns both engines call `column1`, `column2` …
pub(super) fn values(first: usize, rows: usize, columns: usize) -> String {
    let mut text = "(VALUES ".to_owned();
    for row in 0..rows {
        let parameters = parameters(first + row * columns, columns);
        let _infallible = write!(text, "{}({parameters})", if row == 0 { "" } else { ", " });
    }
    text + ") AS v"
}

/// The pattern of `LIKE … ESCAPE '!'` for texts that hold this one.
pub(super) fn containing(text: &str) -> String {
    let mut pattern = "%".to_owned();
    for character in text.chars() {
        if matches!(character, '!' | '%' | '_') {
            pattern.push('!');
        }
        pattern.push(character);
    }
    pattern + "%"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts() {
        assert_eq!(containing("a_%!b"), "%a!_!%!!b%");
        assert_eq!(parameters(2, 3), "$2, $3, $4");
        assert_eq!(values(2, 2, 2), "(VALUES ($2, $3), ($4, $5)) AS v");
    }
}
