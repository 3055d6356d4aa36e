//! A million hostile inputs for each of what strangers write and we read. The same ones each time: what is found stays
//! found. Another start: `FUZZ_SEED=7 cargo nextest run --test fuzz`.

#![expect(clippy::unwrap_used, reason = "a test may fail by panic")]

mod api_bodies;
mod archives;
mod generate;
mod names;
mod portal_forms;
mod zone;
