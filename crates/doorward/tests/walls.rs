//! The walls between the crates, and between the rooms of the binary, as ARCHITECTURE.md draws them.

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use serde_json::Value;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// Room, and the paths that no line of its code may name. Tests inside a file may.
const ROOMS: [(&str, &[&str]); 4] = [
    // A handler speaks to the application alone; it cannot reach the database or the kernel even by mistake.
    ("http", &["store::", "doorward_kernel", "sqlx::", "nlink::"]),
    ("app", &["doorward_kernel", "sqlx::", "http::", "axum::"]),
    ("store", &["doorward_kernel", "axum::", "app::", "http::", "reconcile::"]),
    ("reconcile", &["sqlx::", "axum::", "app::", "http::"]),
];

#[test]
fn policy_is_pure() {
    let tree = cargo(&["tree", "-p", "doorward-policy", "-e", "normal", "--prefix", "none"]);
    let crates: BTreeSet<&str> = tree.lines().filter_map(|line| line.split(' ').next()).collect();
    assert!(crates.contains("ipnet"), "the tree was read: {tree}");
    for forbidden in ["tokio", "sqlx", "axum", "nlink", "gotatun", "tun-rs", "tracing", "async-trait", "futures"] {
        assert!(!crates.contains(forbidden), "policy depends on {forbidden}");
    }
}

#[test]
fn only_the_kernel_crate_stands_next_to_linux_and_only_the_binary_next_to_web_and_database() {
    let metadata: Value =
        serde_json::from_str(&cargo(&["metadata", "--format-version", "1", "--no-deps"])).expect("cargo prints JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    assert_eq!(packages.len(), 3, "a fourth crate needs a decision on record");
    for (package, forbidden) in [
        ("doorward-policy", &["doorward-kernel", "doorward", "nlink", "gotatun", "tun-rs", "sqlx", "axum"][..]),
        ("doorward-kernel", &["doorward", "sqlx", "axum", "tower", "clap"][..]),
        ("doorward", &["nlink", "gotatun", "tun-rs"][..]),
    ] {
        let package = packages.iter().find(|p| p["name"] == package).unwrap_or_else(|| panic!("no crate {package}"));
        let dependencies = package["dependencies"].as_array().expect("dependencies");
        let named: BTreeSet<&str> =
            dependencies.iter().filter(|d| d["kind"].is_null()).filter_map(|d| d["name"].as_str()).collect();
        for forbidden in forbidden {
            assert!(!named.contains(forbidden), "{} depends on {forbidden}", package["name"]);
        }
    }
}

#[test]
fn rooms_of_the_binary_keep_to_themselves() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut broken = Vec::new();
    for (room, forbidden) in ROOMS {
        let mut files = vec![source.join(format!("{room}.rs"))];
        collect(&source.join(room), &mut files);
        for file in files {
            let text = fs::read_to_string(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
            let product = text.lines().take_while(|line| line.trim() != "#[cfg(test)]");
            for (number, line) in product.enumerate().filter(|(_, line)| !line.trim_start().starts_with("//")) {
                broken.extend(
                    forbidden
                        .iter()
                        .filter(|path| names(line, path))
                        .map(|path| format!("{}:{}: {room} names {path}", file.display(), number + 1)),
                );
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

/// Handlers of the panel have a desk, which asks the role and notes changes; only these files may go past it.
#[test]
fn handlers_of_the_panel_reach_operations_by_their_desk_alone() {
    const MAY: [&str; 3] = ["guard.rs", "seat.rs", "sign_in.rs"];
    let panel = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/http/panel");
    let mut files = Vec::new();
    collect(&panel, &mut files);
    assert!(files.len() > 20, "{files:?}");
    for file in files.iter().filter(|file| !MAY.iter().any(|name| file.ends_with(name))) {
        let text = fs::read_to_string(file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        assert!(!text.contains("app_before_sign_in"), "{}", file.display());
    }
}

/// Whether a line names a path, as a whole word.
fn names(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(at, _)| !line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_'))
}

fn collect(folder: &Path, files: &mut Vec<std::path::PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for path in entries.map(|entry| entry.expect("a folder can be read").path()) {
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|e| e == "rs") {
            files.push(path);
        }
    }
}

fn cargo(words: &[&str]) -> String {
    let output = Command::new(env!("CARGO")).args(words).args(["--offline", "--locked"]).current_dir(ROOT).output();
    let output = output.expect("cargo starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("cargo prints UTF-8")
}
