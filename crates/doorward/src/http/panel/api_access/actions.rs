//! What the hotspot API can do, as its page documents it (Hotspot API, sections 3 to 6).

/// A documented action.
pub(super) struct Action {
    pub(super) name: &'static str,
    /// Name of the text of its heading.
    pub(super) title: &'static str,
    pub(super) parameters: &'static [Parameter],
    /// Parameters of the example.
    pub(super) example: &'static [(&'static str, &'static str)],
    /// What it answers.
    pub(super) answer: &'static str,
}

/// A parameter besides `api-key` and `action`.
pub(super) struct Parameter {
    pub(super) name: &'static str,
    pub(super) required: bool,
    /// Name of the text that says what it is.
    pub(super) text: &'static str,
}

const fn optional(name: &'static str, text: &'static str) -> Parameter {
    Parameter { name, required: false, text }
}

const PERSON: &str = r#"{"users": [{"id": 1, "email": "john.doe@example.com", "created_at": "2026-01-14 08:38:10", "last_login": "2026-01-16 09:41:27", "MAC": "98:01:A7:CB:BB:00", "visits": 7, …}]}"#;

/// In the order of the original's page.
pub(super) const ACTIONS: [Action; 10] = [
    Action {
        name: "create_voucher",
        title: "api-create-voucher",
        parameters: &[
            optional("username", "api-p-username"),
            optional("passcode", "api-p-passcode"),
            optional("fullname", "api-p-fullname"),
            optional("valid_for", "api-p-valid-for"),
            optional("valid_from", "api-p-valid-from"),
            optional("download_limit", "api-p-limit"),
            optional("upload_limit", "api-p-limit"),
        ],
        example: &[
            ("username", "user123"),
            ("passcode", "pass123"),
            ("fullname", "John Doe"),
            ("valid_for", "1 day"),
            ("download_limit", "1024"),
            ("upload_limit", "512"),
        ],
        answer: r#"{"message": "User added successfully", "user": {"id": 43, "username": "user123", "passcode": "pass123", "fullname": "John Doe", "valid_for": "1 day", "valid_from": "2026-01-17 10:00:00", "download_limit": "1024", "upload_limit": "512"}, "error": false}"#,
    },
    Action {
        name: "remove_voucher",
        title: "api-remove-voucher",
        parameters: &[Parameter { name: "username", required: true, text: "api-p-remove" }],
        example: &[("username", "user123")],
        answer: r#"{"message": "User removed successfully", "error": false}"#,
    },
    Action {
        name: "get_voucher_users",
        title: "api-get-vouchers",
        parameters: &[],
        example: &[],
        answer: r#"{"users": [{"id": 45, "username": "user1234", "password": "pass1234", "fullname": "John Doe2", "created_at": "2026-02-21 02:31:30", "valid_for": "1 day", …}]}"#,
    },
    Action { name: "get_email_users", title: "api-get-email", parameters: &[], example: &[], answer: PERSON },
    Action { name: "get_fb_users", title: "api-get-facebook", parameters: &[], example: &[], answer: PERSON },
    Action { name: "get_mobile_users", title: "api-get-mobile", parameters: &[], example: &[], answer: PERSON },
    Action { name: "get_free_users", title: "api-get-free", parameters: &[], example: &[], answer: PERSON },
    Action {
        name: "get_logins",
        title: "api-get-logins",
        parameters: &[],
        example: &[],
        answer: r#"{"data": [{"id": 9, "login": "user1234", "type": "voucher", "created_at": "2026-02-21 02:31:30", …}]}"#,
    },
    Action {
        name: "get_guest_hosts",
        title: "api-get-hosts",
        parameters: &[],
        example: &[],
        answer: r#"{"data": [{"address": "192.0.2.20", "mac-address": "A1:B2:C3:D4:E5:F6", "host-name": "phone", …}]}"#,
    },
    Action {
        name: "get_active_guests",
        title: "api-get-active",
        parameters: &[],
        example: &[],
        answer: r#"{"data": [{"logins": "user1@example.com", "address": "192.0.2.20", "mac-address": "A1:B2:C3:D4:E5:F6", "uptime": "9h12m45s", "idle-time": "2h30m10s", "bytes-out": "1056738924", "bytes-in": "87456321"}]}"#,
    },
];
