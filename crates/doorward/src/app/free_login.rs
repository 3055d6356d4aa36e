//! Login by a button, with or without a shared password.

use doorward_policy::guest::Method;
use sha2::{Digest as _, Sha256};

use super::{
    App,
    codes::{self, Answers},
    logins::{Admitted, Denied, Device, Person},
};
use crate::secrets::same_digest;

impl App {
    /// Logs in by the button; `password` is looked at where the hotspot has one.
    ///
    /// # Errors
    /// The device stays captive; [`Denied::WrongPasscode`] for another password.
    pub async fn log_in_free(&self, device: &Device, password: &str, answers: Answers) -> Result<Admitted, Denied> {
        let record = self.hotspot_by_id(device.hotspot).ok_or(Denied::Failed)?;
        let method = codes::method_of(&record.settings, Method::Free).ok_or(Denied::Failed)?;
        let identity = device.mac.to_string();
        if !method.password.is_empty() {
            let password_try = self.try_code(device)?;
            // Digests have one length, so that the comparison does not tell that of the password.
            let [given, wanted] = [password.trim(), method.password.trim()].map(|text| Sha256::digest(text).into());
            if !same_digest(&given, &wanted) {
                self.note_failed_login(device, Method::Free, &identity, Denied::WrongPasscode.reason()).await;
                return Err(Denied::WrongPasscode);
            }
            self.code_was_right(&password_try);
        }
        // The free form has no question about marketing (Hotspot API, section 5.4).
        let answers = Answers { marketing: None, ..answers };
        let person = codes::person(Method::Free, identity, answers, method.allowance);
        self.log_in_person(device, Person { verified: false, ..person }).await
    }
}
