//! Tables and answers for people, JSON for programs.

use serde::{Serialize, de::DeserializeOwned};

use super::say;
use crate::{
    config::Config,
    control::{self, Order},
};

/// Rows that a column's width is found from; longer tables are written on.
const MEASURED: usize = 200;

/// A table that is written row by row.
pub(super) struct Table {
    heads: Vec<&'static str>,
    widths: Option<Vec<usize>>,
    waiting: Vec<Vec<String>>,
}

impl Table {
    pub(super) fn new(heads: &[&'static str]) -> Self {
        Self { heads: heads.to_vec(), widths: None, waiting: Vec::new() }
    }

    pub(super) fn row(&mut self, cells: Vec<String>) -> anyhow::Result<()> {
        if let Some(widths) = &self.widths {
            return say(&line(&cells, widths));
        }
        self.waiting.push(cells);
        if self.waiting.len() < MEASURED { Ok(()) } else { self.write_waiting() }
    }

    pub(super) fn end(mut self) -> anyhow::Result<()> {
        if self.widths.is_none() { self.write_waiting() } else { Ok(()) }
    }

    fn write_waiting(&mut self) -> anyhow::Result<()> {
        let rows = std::mem::take(&mut self.waiting);
        let longest = |column: usize| {
            let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
            cells.chain(self.heads.get(column).map(|head| head.len())).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.heads.len()).map(longest).collect();
        let heads: Vec<String> = self.heads.iter().map(|head| (*head).to_owned()).collect();
        say(&line(&heads, &widths))?;
        for row in &rows {
            say(&line(row, &widths))?;
        }
        self.widths = Some(widths);
        Ok(())
    }
}

fn line(cells: &[String], widths: &[usize]) -> String {
    let padded = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
    padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
}

/// Gives an order, and hands on each row of the answer.
pub(super) async fn order<T: DeserializeOwned>(
    config: &Config,
    order: &Order,
    take: impl FnMut(T) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    control::order(&config.state_dir, order, take).await
}

/// Gives an order whose answer is of no interest.
pub(super) async fn command(config: &Config, order: &Order) -> anyhow::Result<()> {
    control::order(&config.state_dir, order, |_: serde_json::Value| Ok::<_, anyhow::Error>(())).await
}

/// Gives an order, and shows the rows of the answer as a table, or as a line of JSON each.
pub(super) async fn show<T: DeserializeOwned + Serialize>(
    config: &Config,
    order: &Order,
    json: bool,
    heads: &[&'static str],
    cells: impl Fn(&T) -> Vec<String>,
) -> anyhow::Result<()> {
    let mut table = Table::new(heads);
    let take = |row: T| if json { say(&serde_json::to_string(&row)?) } else { table.row(cells(&row)) };
    control::order(&config.state_dir, order, take).await?;
    if json { Ok(()) } else { table.end() }
}

/// `-` for nothing.
pub(super) fn or_dash(text: Option<&str>) -> String {
    text.filter(|text| !text.is_empty()).unwrap_or("-").to_owned()
}

/// `3h20m07s`
pub(super) fn duration(seconds: u64) -> String {
    format!("{}h{:02}m{:02}s", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// Bytes in the unit that a person would choose.
pub(super) fn bytes(count: u64) -> String {
    match count {
        0..1_048_576 => format!("{} kB", count / 1024),
        1_048_576..1_073_741_824 => format!("{} MB", count / 1_048_576),
        _ => format!("{}.{} GB", count / 1_073_741_824, count % 1_073_741_824 * 10 / 1_073_741_824),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures() {
        assert_eq!((bytes(2048), bytes(5 << 20), bytes(3 << 29)), ("2 kB".into(), "5 MB".into(), "1.5 GB".into()));
        assert_eq!(duration(93_930), "26h05m30s");
        assert_eq!(line(&["a".into(), "b".into()], &[3, 3]), "a    b");
    }
}
