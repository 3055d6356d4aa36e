//! Neither the key nor a passcode ever stands in a log.

use std::sync::{Arc, Mutex};

use serde_json::json;
use tracing_subscriber::{filter::LevelFilter, fmt::MakeWriter};

use crate::{databases::Database, desk::Desk};

both_engines!(neither_key_nor_passcode_is_logged);

/// Keeps all that is logged.
#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Everything of everybody, from now on; each test is a process of its own.
    pub fn start() -> Self {
        let log = Self::default();
        tracing_subscriber::fmt().with_max_level(LevelFilter::TRACE).with_writer(log.clone()).with_ansi(false).init();
        log
    }

    /// What was logged so far.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;
    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

async fn neither_key_nor_passcode_is_logged(database: Database) {
    let log = Log::start();
    let desk = Desk::start(database).await;
    let hotspot = desk.hotspot().await;
    let wrong_key = "feedfacefeedfacefeedfacefeedfacefeedface";
    let all = json!({ "username": "guest107", "passcode": "tulip-secret-4402", "details": 1 });
    let user = desk.create(all).await;
    let made = desk.create(json!({})).await;
    let made = made["passcode"].as_str().unwrap();
    let code = desk.create(json!({ "code_only": 1 })).await;
    desk.get("action=create_voucher&username=b&passcode=rose-secret-77&valid_for=nonsense").await;
    desk.get("action=create_voucher&username=b&passcode=rose-secret-77").await;
    let edit = json!({ "action": "edit_voucher", "username": "b", "passcode": "lily-secret-99" });
    let edit = desk.call("POST", "").json(&desk.keyed(edit)).header("idempotency-key", "my-own-idempotency-key");
    edit.send().await.json();
    desk.log_in(hotspot, 7, &user).await;
    let app = &desk.gateway.app;
    app.log_in_with_voucher(&desk.device(hotspot, 8), "guest107", "wrong-secret-11").await.unwrap_err();
    for action in ["get_voucher_users", "get_active_guests", "get_guest_hosts", "get_logins", "make_coffee"] {
        desk.get(&format!("action={action}")).await;
    }
    for _ in 0..12 {
        desk.call("GET", &format!("api-key={wrong_key}&action=get_logins")).send().await;
    }
    desk.gateway.kernel.fail_readings(true);
    desk.get("action=get_active_guests").await;
    desk.gateway.store.close().await;
    desk.get("action=create_voucher&passcode=iris-secret-55").await;

    let text = log.text();
    assert!(text.contains("wrong key") && text.contains("hotspot API"), "the log was read");
    let code = code["username"].as_str().unwrap();
    for secret in [&desk.key, wrong_key, made, code, "-secret-", "my-own-idempotency-key"] {
        let at = text.find(secret);
        assert!(at.is_none(), "{secret}: {}", at.map_or("", |at| &text[at.saturating_sub(300)..at + 60]));
    }
}
