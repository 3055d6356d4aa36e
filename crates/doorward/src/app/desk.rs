//! The one way from the panel to the operations: who acts, whether they may, and the note of it.
//!
//! A handler of the panel has no [`App`]. It asks its [`Desk`], which knows the operator; so no handler can forget the
//! question, and no change goes unnoted.

use std::{future::Future, net::IpAddr, sync::Arc};

use super::{App, Error, now_ms};
use crate::store::{NewAudit, Operator, OperatorId, PanelSessionId, Role};

/// A part of the gateway, as roles see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the names are those of the screens")]
pub enum Module {
    Dashboard,
    Servers,
    Accounts,
    Hotspots,
    Vouchers,
    Guests,
    Logins,
    Live,
    Firewall,
    Dns,
    Links,
    Operators,
    Audit,
    AccessHashes,
    ApiAccess,
    Settings,
    /// One's own: password, second factor, sessions, look.
    Profile,
}

/// What somebody wants of a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    /// See it, without secrets.
    View,
    /// See secrets: private keys, configurations, passcodes, API keys.
    Reveal,
    /// Change it.
    Change,
}

impl Module {
    /// All of them.
    pub const ALL: [Self; 17] = [
        Self::Dashboard,
        Self::Servers,
        Self::Accounts,
        Self::Hotspots,
        Self::Vouchers,
        Self::Guests,
        Self::Logins,
        Self::Live,
        Self::Firewall,
        Self::Dns,
        Self::Links,
        Self::Operators,
        Self::Audit,
        Self::AccessHashes,
        Self::ApiAccess,
        Self::Settings,
        Self::Profile,
    ];

    /// Its name in the audit log.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Dashboard => "dashboard",
            Self::Servers => "servers",
            Self::Accounts => "accounts",
            Self::Hotspots => "hotspots",
            Self::Vouchers => "vouchers",
            Self::Guests => "guests",
            Self::Logins => "logins",
            Self::Live => "live",
            Self::Firewall => "firewall",
            Self::Dns => "dns",
            Self::Links => "links",
            Self::Operators => "operators",
            Self::Audit => "audit",
            Self::AccessHashes => "access_hashes",
            Self::ApiAccess => "api_access",
            Self::Settings => "settings",
            Self::Profile => "profile",
        }
    }
}

/// The table of roles: whether a role may do something to a part of the gateway.
#[must_use]
pub fn allows(role: Role, module: Module, operation: Operation) -> bool {
    use Module as M;
    use Operation::{Change, Reveal, View};
    match (role, module) {
        // Everybody has themselves.
        (Role::Admin, _) | (_, M::Profile) => true,
        (Role::Operator, M::Settings | M::Operators) => false,
        (Role::Operator, _) | (Role::VoucherManager, M::Vouchers) => true,
        (Role::VoucherManager, M::Dashboard) => operation == View,
        (Role::VoucherManager, _) | (Role::Viewer, M::Settings | M::Operators) => false,
        (Role::Viewer, _) => match operation {
            View => true,
            Reveal | Change => false,
        },
    }
}

/// The operator has no right to that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the role of this operator does not allow it")]
pub struct Denied;

/// Why something that an operator wanted did not happen.
#[derive(Debug, thiserror::Error)]
pub enum DeskError {
    /// They have no right to it.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// It was refused.
    #[error(transparent)]
    Refused(#[from] Error),
}

/// What is changed, for the audit log. Texts hold no secrets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Change {
    /// What is done: `create`, `edit`, `delete` …
    pub action: &'static str,
    /// Name of what it is done to.
    pub object: String,
    /// How it was; empty where it was not.
    pub before: String,
    /// How it is to be; empty where it will not be.
    pub after: String,
}

impl Change {
    /// A change of that name to an object.
    #[must_use]
    pub fn new(action: &'static str, object: impl ToString) -> Self {
        Self { action, object: object.to_string(), ..Self::default() }
    }

    /// With how it was.
    #[must_use]
    pub fn before(mut self, before: impl ToString) -> Self {
        self.before = before.to_string();
        self
    }

    /// With how it is to be.
    #[must_use]
    pub fn after(mut self, after: impl ToString) -> Self {
        self.after = after.to_string();
        self
    }
}

/// Most bytes of each text of a note.
const MOST_NOTE: usize = 4096;

/// An operator at work. Cheap to clone.
#[derive(Clone)]
pub struct Desk {
    app: App,
    operator: Arc<Operator>,
    session: PanelSessionId,
    from: IpAddr,
}

impl Desk {
    /// Only [`App::session`] makes one.
    pub(super) fn new(app: App, operator: Operator, session: PanelSessionId, from: IpAddr) -> Self {
        Self { app, operator: Arc::new(operator), session, from }
    }

    /// Who acts.
    #[must_use]
    pub fn operator(&self) -> &Operator {
        &self.operator
    }

    /// Their row.
    #[must_use]
    pub fn id(&self) -> OperatorId {
        self.operator.id
    }

    /// By which session.
    #[must_use]
    pub fn session(&self) -> PanelSessionId {
        self.session
    }

    /// From where.
    #[must_use]
    pub fn from(&self) -> IpAddr {
        self.from
    }

    /// Whether they may.
    #[must_use]
    pub fn may(&self, module: Module, operation: Operation) -> bool {
        allows(self.operator.role, module, operation)
    }

    /// The operations, to see a part of the gateway.
    ///
    /// # Errors
    /// They may not.
    pub fn view(&self, module: Module) -> Result<&App, Denied> {
        self.require(module, Operation::View)
    }

    /// The operations, to see a part of the gateway with its secrets.
    ///
    /// # Errors
    /// They may not.
    pub fn reveal(&self, module: Module) -> Result<&App, Denied> {
        self.require(module, Operation::Reveal)
    }

    /// Makes a change, and notes it: first that it is going to be made, then what became of it. It goes on to its end
    /// even if the caller goes away.
    ///
    /// # Errors
    /// They may not; the note cannot be made, then nothing is done; what the change itself refuses.
    pub async fn change<T, F>(
        &self,
        module: Module,
        change: Change,
        work: impl FnOnce(App) -> F + Send + 'static,
    ) -> Result<T, DeskError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Error>> + Send + 'static,
    {
        let app = self.require(module, Operation::Change)?.clone();
        let note = self.note(module, change);
        let worker = app.clone();
        let done = app.finish(async move {
            let store = worker.store().clone();
            let id = store.begin_audit(note).await.map_err(Error::Store)?;
            let result = work(worker).await;
            let outcome = result.as_ref().err().map_or_else(String::new, |error| bounded(error.to_string()));
            if let Err(error) = store.finish_audit(id, outcome).await {
                tracing::warn!(error = &error as &dyn std::error::Error, "the outcome of a change was not noted");
            }
            result
        });
        Ok(done.await?)
    }

    fn require(&self, module: Module, operation: Operation) -> Result<&App, Denied> {
        if self.may(module, operation) {
            return Ok(&self.app);
        }
        let (operator, role) = (&self.operator.name, self.operator.role.as_str());
        tracing::warn!(operator, role, from = %self.from, ?module, ?operation, "refused: the role does not allow it");
        Err(Denied)
    }

    fn note(&self, module: Module, change: Change) -> NewAudit {
        let Change { action, object, before, after } = change;
        NewAudit {
            created_ms: now_ms(),
            actor: self.operator.name.clone(),
            address: self.from.to_string(),
            module: module.as_str(),
            action,
            object: bounded(object),
            before: bounded(before),
            after: bounded(after),
        }
    }
}

/// Cuts a text that is too long for a note.
fn bounded(mut text: String) -> String {
    if text.len() > MOST_NOTE {
        let end = (0..=MOST_NOTE - 3).rev().find(|end| text.is_char_boundary(*end)).unwrap_or_default();
        text.truncate(end);
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_role_may_do_just_its_part() {
        use Operation::{Change, Reveal, View};
        for module in Module::ALL {
            for operation in [View, Reveal, Change] {
                assert!(allows(Role::Admin, module, operation), "{module:?} {operation:?}");
                let system = matches!(module, Module::Settings | Module::Operators);
                assert_eq!(allows(Role::Operator, module, operation), !system, "{module:?} {operation:?}");
                let desk = matches!(module, Module::Vouchers | Module::Profile)
                    || (module == Module::Dashboard && operation == View);
                assert_eq!(allows(Role::VoucherManager, module, operation), desk, "{module:?} {operation:?}");
                let reads = module == Module::Profile || (!system && operation == View);
                assert_eq!(allows(Role::Viewer, module, operation), reads, "{module:?} {operation:?}");
            }
        }
    }

    #[test]
    fn notes_are_cut_between_characters() {
        assert_eq!(bounded("ä".repeat(2048)), "ä".repeat(2048));
        let cut = bounded("ä".repeat(3000));
        assert!(cut.len() <= MOST_NOTE && cut.ends_with('…'));
    }
}
