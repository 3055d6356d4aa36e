//! Stores that speak S3: one signed PUT with the whole archive.

use std::{fs::File, time::Duration};

use reqwest::{StatusCode, header};
use rusty_s3::{Bucket, Credentials, S3Action as _, UrlStyle};

use super::{LONGEST, STEP_WAIT, said};
use crate::{
    backup::{BackupName, FileBody},
    backup_settings::S3,
    fetch,
};

/// How long a signature holds: the store looks at it when the upload begins.
const SIGNED_FOR: Duration = Duration::from_secs(600);

/// Uploads.
pub(super) async fn upload(s3: &S3, file: File, size: u64, name: &BackupName) -> Result<(), String> {
    let endpoint = s3.endpoint().ok_or_else(|| "the store's address cannot be used".to_owned())?;
    let region = if s3.region.is_empty() { "us-east-1".to_owned() } else { s3.region.clone() };
    let bucket = Bucket::new(endpoint, UrlStyle::Path, s3.bucket.clone(), region);
    let bucket = bucket.map_err(|_| "the store's address cannot be used".to_owned())?;
    let credentials = Credentials::new(s3.access_key.clone(), s3.secret_key.expose());
    let object = format!("{}{name}", s3.prefix.trim_start_matches('/'));
    let url = bucket.put_object(Some(&credentials), &object).sign(SIGNED_FOR);
    let client = fetch::client(LONGEST).map_err(|_| "the system's certificates cannot be used".to_owned())?;
    let request = client
        .put(url)
        .header(header::CONTENT_TYPE, "application/zip")
        .header(header::CONTENT_LENGTH, size)
        .body(reqwest::Body::wrap(FileBody::new(file, size)));
    let response = request.send().await.map_err(|error| fetch::describe(&error))?;
    let status = response.status();
    if status.is_success() {
        return Ok(());
    }
    let body = tokio::time::timeout(STEP_WAIT, fetch::body(response)).await.ok().flatten().unwrap_or_default();
    Err(refusal(status, &String::from_utf8_lossy(&body)))
}

/// `403 Forbidden: SignatureDoesNotMatch`
fn refusal(status: StatusCode, body: &str) -> String {
    let code = body.split_once("<Code>").and_then(|(_, rest)| rest.split_once("</Code>")).map(|(code, _)| said(code));
    code.map_or_else(|| status.to_string(), |code| format!("{status}: {code}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backup_refusals_of_stores_are_short() {
        let body = "<Error><Code>SignatureDoesNotMatch</Code><Message>…</Message></Error>";
        assert_eq!(refusal(StatusCode::FORBIDDEN, body), "403 Forbidden: SignatureDoesNotMatch");
        assert_eq!(refusal(StatusCode::BAD_GATEWAY, "<html>"), "502 Bad Gateway");
    }
}
