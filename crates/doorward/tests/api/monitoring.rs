//! Health, readiness, metrics and what the log says of requests.

use doorward::http::{HttpSettings, MetricsToken};

use crate::{databases::Database, gateway::Gateway};

both_engines!(health_and_readiness_need_nobody, metrics_need_their_token, every_answer_bears_another_id,);

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

async fn health_and_readiness_need_nobody(database: Database) {
    let gateway = Gateway::start(database).await;
    for path in ["/healthz", "/readyz"] {
        let answer = gateway.call("GET", "").uri(path).cookie(None).send().await;
        assert_eq!((answer.status.as_u16(), answer.text.as_str()), (200, "ok\n"), "{path}");
    }
    // Without its database it lives, and is of no use.
    gateway.store.close().await;
    assert_eq!(gateway.call("GET", "").uri("/healthz").cookie(None).send().await.status, 200);
    let answer = gateway.call("GET", "").uri("/readyz").cookie(None).send().await;
    assert_eq!((answer.status.as_u16(), answer.text.as_str()), (503, "the database does not answer\n"));
}

async fn metrics_need_their_token(database: Database) {
    let gateway = Gateway::start(database).await;
    assert_eq!(gateway.call("GET", "").uri("/metrics").send().await.status, 404, "nobody asked for it");
    let gateway = gateway
        .reconfigured(|choice| {
            choice.http = HttpSettings { metrics_token: MetricsToken::parse(TOKEN), ..HttpSettings::default() };
        })
        .await;
    gateway.server_and_account().await;
    gateway.get("/account/nobody").await.refused(404, "Account not found");
    let ask = async |token: Option<&str>| {
        let call = gateway.call("GET", "").uri("/metrics").cookie(None);
        match token {
            Some(token) => call.header("authorization", &format!("Bearer {token}")).send().await,
            None => call.send().await,
        }
    };
    assert_eq!(ask(None).await.status, 401);
    assert_eq!(ask(Some("0123456789abcdef0123456789abcdee")).await.status, 401);
    let answer = ask(Some(TOKEN)).await;
    assert_eq!(answer.status, 200);
    for line in [
        "doorward_ready 1",
        "doorward_database_answers 1",
        "doorward_accounts 1",
        "doorward_servers 1",
        "doorward_messages_waiting 0",
        "doorward_http_requests_total{face=\"vpn_api\",code=\"200\"} 2",
        "doorward_http_requests_total{face=\"vpn_api\",code=\"404\"} 1",
        "doorward_http_request_seconds_count{face=\"vpn_api\"} 3",
        "# EOF",
    ] {
        assert!(answer.text.lines().any(|found| found == line), "{line}: {}", answer.text);
    }
    // Nothing of anybody.
    assert!(!answer.text.contains("peer_1") && !answer.text.contains("user_1"), "{}", answer.text);
}

async fn every_answer_bears_another_id(database: Database) {
    let gateway = Gateway::start(database).await;
    let id = |answer: &crate::gateway::Answer| answer.headers["x-request-id"].to_str().unwrap().to_owned();
    let mut ids = std::collections::BTreeSet::new();
    for path in ["/api/v1/system/status", "/api/v1/nothing", "/api/", "/login", "/nowhere", "/healthz"] {
        // What a client calls itself is not believed.
        let answer = gateway.call("GET", "").uri(path).header("x-request-id", "mine").send().await;
        assert!(ids.insert(id(&answer)), "{path}: {ids:?}");
    }
    assert!(!ids.contains("mine"));
}
