//! How fast: the rates that accounts are held to, and that changing one account's disturbs nobody.

use std::{
    thread,
    time::{Duration, Instant},
};

use crate::{
    client::Client,
    flow::{Direction, Pace},
    lab::Lab,
    world::Count,
};

/// A TCP sender finds the rate, and the class's burst is spent.
const WARM_UP: Duration = Duration::from_secs(2);
const MEASURED: Duration = Duration::from_secs(10);
/// Of IP bytes over ten seconds.
const TOLERANCE: f64 = 0.05;
/// A machine that is busy with other things for seconds cannot keep 100 Mbit/s filled: one window out of these is enough.
/// Too fast is too fast at once.
const WINDOWS: usize = 3;

#[test]
fn rates_hold_at_1_10_and_100_mbit_in_both_directions_and_changing_them_loses_nobodys_packet() {
    let mut lab = Lab::new();
    // Uploads are counted where they come out, with what else passes that cable left out.
    let arrivals = lab.world.count_arrivals("ip protocol tcp");
    let server = lab.server("b_download=1&b_upload=1");
    let (account, client) = lab.client(&server, "name=shaped");
    let (_, other) = lab.client(&server, "name=bystander&b_download=50&b_upload=50");
    let bystander = lab.heartbeat(&other);

    let mut missed = Vec::new();
    for mbit in [1, 10, 100] {
        match mbit {
            1 => {}
            10 => {
                // The server's default, copied to all accounts, the bystander's too.
                lab.api.put("wireguard/Default_1", "b_download=10&b_upload=10");
                lab.api.put("wireguard/Default_1/set_bandwidth", "");
            }
            _ => drop(lab.api.put(&format!("account/{account}"), &format!("b_download={mbit}&b_upload={mbit}"))),
        }
        for direction in [Direction::Down, Direction::Up] {
            let mut rates = Vec::new();
            for _ in 0..WINDOWS {
                let rate = measure(&lab, &client, &arrivals, direction);
                rates.push(rate);
                let off = rate / f64::from(mbit) - 1.0;
                eprintln!("{mbit} Mbit/s {direction:?}: {rate:.3} ({:+.2} %)", off * 100.0);
                if off >= -TOLERANCE {
                    break;
                }
            }
            if rates.last().is_none_or(|rate| (rate / f64::from(mbit) - 1.0).abs() > TOLERANCE) {
                missed.push(format!("{mbit} Mbit/s {direction:?}: {rates:.3?}"));
            }
        }
    }
    assert!(missed.is_empty(), "outside ±5 %: {missed:?}");
    bystander.expect_none_lost("the bystander");
}

#[test]
fn a_rate_changes_under_a_running_flow() {
    let mut lab = Lab::new();
    let server = lab.server("");
    let (account, client) = lab.client(&server, "name=shaped&b_download=2&b_upload=2");
    let flow = lab.flow(&client, Direction::Down, Pace::Bulk);
    thread::sleep(WARM_UP);
    for mbit in [8_u32, 2, 20] {
        lab.api.put(&format!("account/{account}"), &format!("b_download={mbit}"));
        thread::sleep(WARM_UP);
        let (before, start) = (client.host.received("wg0"), Instant::now());
        thread::sleep(Duration::from_secs(4));
        let rate = mbit_per_second(client.host.received("wg0") - before, start.elapsed());
        // Four seconds only, hence twice the tolerance.
        assert!((rate / f64::from(mbit) - 1.0).abs() <= 2.0 * TOLERANCE, "{rate:.2} where {mbit} was asked");
    }
    flow.assert_flowing("after three changes");
}

/// IP megabits per second of one TCP stream.
fn measure(lab: &Lab, client: &Client, arrivals: &Count, direction: Direction) -> f64 {
    let flow = lab.flow(client, direction, Pace::Bulk);
    thread::sleep(WARM_UP);
    let count = || match direction {
        Direction::Down => client.host.received("wg0"),
        Direction::Up => arrivals.bytes(),
    };
    let (before, start) = (count(), Instant::now());
    thread::sleep(MEASURED);
    let (bytes, elapsed) = (count() - before, start.elapsed());
    drop(flow);
    // Lets the queue run dry before the next.
    thread::sleep(Duration::from_millis(500));
    mbit_per_second(bytes, elapsed)
}

fn mbit_per_second(bytes: u64, elapsed: Duration) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52 bytes")]
    let bits = bytes as f64 * 8.0;
    bits / elapsed.as_secs_f64() / 1e6
}
