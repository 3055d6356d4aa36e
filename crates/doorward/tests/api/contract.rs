//! The OpenAPI documents hold for the routers: no path or method is missing, and no answer has another shape.

use std::{collections::BTreeSet, net::SocketAddr};

use axum::{Router, body::Body, extract::ConnectInfo, http::Request};
use doorward::{
    app::guest_settings::ApiSwitches,
    http::{
        self, HttpSettings, MetricsToken,
        contract::{hotspot_document, vpn_document},
    },
    secrets::AccessHash,
};
use http_body_util::BodyExt as _;
use serde_json::Value;
use tower::ServiceExt as _;

use crate::{databases::Database, gateway::Gateway};

both_engines!(a_method_is_there_if_the_document_says_so,);

/// The documents as they are kept, so that a change of the contract is seen in review.
#[test]
fn the_documents_are_those_in_docs() {
    let kept = |name: &str| {
        let path = format!("{}/../../docs/openapi/{name}.json", env!("CARGO_MANIFEST_DIR"));
        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
    };
    for (name, api, document) in [("vpn-api-v1", "vpn", vpn_document()), ("hotspot-api", "hotspot", hotspot_document())]
    {
        let now = serde_json::to_string_pretty(&document).unwrap();
        assert!(kept(name).trim_end() == now, "doorward openapi {api} >docs/openapi/{name}.json");
    }
}

#[test]
fn names_of_operations_are_unique() {
    let document = vpn_document();
    let mut seen = BTreeSet::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let id = operation["operationId"].as_str().unwrap();
            assert!(seen.insert(id.to_owned()), "{id} twice, at {method} {path}");
        }
    }
}

/// Whatever a documented method answers, it is documented; what is not documented is `Not found`.
async fn a_method_is_there_if_the_document_says_so(database: Database) {
    let gateway = Gateway::start(database).await;
    let document = vpn_document();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for method in ["GET", "POST", "PUT", "DELETE"] {
            let address = path
                .replace("{name}", "nobody")
                .replace("{year}", "2030")
                .replace("{month}", "1")
                .replace("{dst_port}", "1")
                .replace("{protocol}", "tcp")
                .replace("{file}", "nobody.zip");
            let answer = gateway.call(method, &address).send().await;
            let text = answer.json()["error"].as_str().unwrap_or_default().to_owned();
            match methods.get(method.to_ascii_lowercase()) {
                None => assert_eq!((answer.status.as_u16(), text.as_str()), (404, "Not found"), "{method} {path}"),
                Some(operation) => {
                    let described: &Value = &operation["responses"][answer.status.as_u16().to_string()];
                    assert!(!described.is_null(), "{method} {path}: {} {text}", answer.status);
                    let texts = &described["content"]["application/json"]["schema"]["properties"]["error"];
                    let known = match texts["enum"].as_array() {
                        Some(texts) => texts.iter().any(|known| known == &text),
                        None => text.is_empty(),
                    };
                    assert!(known, "{method} {path}: {} {text}", answer.status);
                }
            }
        }
    }
}

/// Cases that schemathesis makes of each operation beside its systematic ones.
const EXAMPLES: &str = "20";

/// Thousands of requests by schemathesis, with what the document allows and what it does not: no answer is a failure of the
/// gateway, or has a status or shape that is not documented.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn schemathesis_finds_nothing_undocumented_in_the_vpn_api() {
    let gateway = Gateway::start(Database::sqlite()).await;
    let hash = AccessHash::generate().unwrap();
    gateway.add_hash("local", &hash, &["127.0.0.1"]).await;
    gateway.server_and_account().await;
    let served = Served::start(&gateway).await;
    let cookie = format!("Cookie: access_hash={}", hash.expose());
    // With the server that it makes up for uploads, to make a backup is to fail.
    let more = [
        "--header",
        &cookie,
        "--exclude-operation-id",
        "create_backup",
        "--exclude-operation-id",
        "create_system_backup",
    ];
    served.hold(&vpn_document(), "/api/v1", &more).await;
    let counts = served.counts().await;
    assert!(counts.of("vpn_api", 200) > 100, "most of it got through: {}", counts.text);
    assert_eq!((counts.of("vpn_api", 429), counts.of("vpn_api", 401)), (0, 0), "{}", counts.text);
}

/// What the two others rest on: an answer that the document does not describe is found.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn schemathesis_finds_what_is_undocumented() {
    let gateway = Gateway::start(Database::sqlite()).await;
    let hash = AccessHash::generate().unwrap();
    gateway.add_hash("local", &hash, &["127.0.0.1"]).await;
    let served = Served::start(&gateway).await;
    let cookie = format!("Cookie: access_hash={}", hash.expose());
    let mut document = vpn_document();
    document["paths"]["/license"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]["properties"]["msg"] =
        serde_json::json!({ "type": "string" });
    let more = ["--header", &cookie, "--include-operation-id", "get_license"];
    let found = served.examine(&document, "/api/v1", &more).await.unwrap_err();
    assert!(found.contains("get_license") || found.contains("/license"), "{found}");
}

/// The same for the hotspot API; the key is pinned, because a wrong one hides everything behind it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn schemathesis_finds_nothing_undocumented_in_the_hotspot_api() {
    let gateway = Gateway::start(Database::sqlite()).await;
    gateway.app.set_api_switches(ApiSwitches { post: true, get: true }).await.unwrap();
    let mut document = hotspot_document();
    let key = serde_json::json!({ "const": gateway.app.api_key().expose() });
    for schema in document["components"]["schemas"].as_object_mut().unwrap().values_mut() {
        schema["properties"]["api-key"] = key.clone();
    }
    for parameter in document["paths"]["/api/"]["get"]["parameters"].as_array_mut().unwrap() {
        if parameter["name"] == "api-key" {
            parameter["schema"] = key.clone();
        }
    }
    let served = Served::start(&gateway).await;
    served.hold(&document, "", &["--mode", "positive"]).await;
    let counts = served.counts().await;
    assert!(counts.of("hotspot_api", 200) > 20, "{}", counts.text);
    assert_eq!(counts.of("hotspot_api", 429), 0, "{}", counts.text);
}

/// A gateway on a port of the loopback.
struct Served {
    address: SocketAddr,
    router: Router,
    task: tokio::task::JoinHandle<()>,
}

impl Served {
    async fn start(gateway: &Gateway) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let http = HttpSettings { metrics_token: MetricsToken::parse(TOKEN), ..HttpSettings::default() };
        let router = http::router(gateway.app.clone(), http);
        let service = router.clone().into_make_service_with_connect_info::<SocketAddr>();
        let task = tokio::spawn(async move { axum::serve(listener, service).await.unwrap() });
        Self { address, router, task }
    }

    async fn hold(&self, document: &Value, root: &str, more: &[&str]) {
        self.examine(document, root, more).await.unwrap_or_else(|found| panic!("{found}"));
    }

    /// Runs schemathesis to its end; what it found is in the error.
    async fn examine(&self, document: &Value, root: &str, more: &[&str]) -> Result<(), String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("openapi.json");
        std::fs::write(&file, document.to_string()).unwrap();
        let output = tokio::process::Command::new(SCHEMATHESIS)
            .current_dir(folder.path())
            .arg("run")
            .arg(&file)
            .args(["--url", &format!("http://{}{root}", self.address)])
            .args(["--checks", CHECKS, "--max-examples", EXAMPLES, "--seed", "1", "--no-color"])
            .args(["--suppress-health-check", "all", "--warnings", "off"])
            .args(more)
            .output()
            .await
            .unwrap_or_else(|error| panic!("{SCHEMATHESIS}: {error}; make setup installs it"));
        let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        if output.status.success() { Ok(()) } else { Err(said.into_owned()) }
    }

    /// What was answered, by the gateway's own metrics.
    async fn counts(&self) -> Counts {
        let request = Request::builder().uri("/metrics").header("authorization", format!("Bearer {TOKEN}"));
        let mut request = request.body(Body::empty()).unwrap();
        request.extensions_mut().insert(ConnectInfo(self.address));
        let answer = self.router.clone().oneshot(request).await.unwrap();
        assert_eq!(answer.status(), 200);
        let bytes = answer.into_body().collect().await.unwrap().to_bytes();
        Counts { text: String::from_utf8(bytes.to_vec()).unwrap() }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.task.abort();
    }
}

const TOKEN: &str = "0123456789abcdef0123456789abcdef";
const SCHEMATHESIS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../.tools/bin/schemathesis");
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,response_schema_conformance";

struct Counts {
    text: String,
}

impl Counts {
    fn of(&self, face: &str, code: u16) -> u64 {
        let line = format!("doorward_http_requests_total{{face=\"{face}\",code=\"{code}\"}} ");
        self.text.lines().find_map(|found| found.strip_prefix(&line)?.parse().ok()).unwrap_or(0)
    }
}
