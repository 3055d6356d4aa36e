//! `doorward operator`: the people who use the panel.

use std::io::{BufRead, IsTerminal};

use anyhow::{Context, bail};
use clap::Subcommand;
use doorward_policy::{account::Password, name::Name};

use super::{open_store, say};
use crate::{
    clock,
    config::Config,
    secrets,
    store::{NewOperator, Role},
};

/// Shortest password that a person may choose.
const SHORTEST_PASSWORD: usize = 12;

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Make an operator. The password is the first line of standard input; without one it is made up and shown once.
    Add {
        /// Name to sign in with.
        name: Name,
        /// admin, operator, voucher_manager or viewer
        #[arg(long, value_parser = role)]
        role: Role,
    },
    /// List names and roles.
    List,
    /// Give an operator a new password, as with `add`.
    Password {
        /// Who.
        name: Name,
    },
    /// Give an operator another role.
    Role {
        /// Who.
        name: Name,
        /// admin, operator, voucher_manager or viewer
        #[arg(value_parser = role)]
        role: Role,
    },
    /// Take an operator's second factor away.
    TotpOff {
        /// Who.
        name: Name,
    },
    /// Delete all passkeys of an operator.
    PasskeysOff {
        /// Who.
        name: Name,
    },
    /// Delete an operator.
    Remove {
        /// Who.
        name: Name,
    },
}

fn role(text: &str) -> Result<Role, String> {
    Role::parse(text).ok_or_else(|| "must be admin, operator, voucher_manager or viewer".to_owned())
}

pub(super) async fn run(config: Config, verb: Verb) -> anyhow::Result<()> {
    let store = open_store(&config).await?;
    let who = |name: &Name| format!("operator {name}");
    match verb {
        Verb::Add { name, role } => {
            let (password_hash, made) = password()?;
            let new = NewOperator { name: name.to_string(), role, password_hash, created_ms: clock::now_ms() };
            store.insert_operator(&new).await.with_context(|| who(&name))?;
            show(made)?;
        }
        Verb::List => {
            say("NAME\tROLE")?;
            for operator in store.operators().await? {
                say(&format!("{}\t{}", operator.name, operator.role.as_str()))?;
            }
        }
        Verb::Password { name } => {
            let (password_hash, made) = password()?;
            store.set_operator_password(name.as_str(), &password_hash, None).await.with_context(|| who(&name))?;
            show(made)?;
        }
        Verb::Role { name, role } => {
            store.set_operator_role(name.as_str(), role, None, false).await.with_context(|| who(&name))?;
        }
        Verb::TotpOff { name } => {
            store.set_operator_totp(name.as_str(), None).await.with_context(|| who(&name))?;
        }
        Verb::PasskeysOff { name } => {
            let operator =
                store.operator_by_name(name.as_str()).await?.with_context(|| format!("no {}", who(&name)))?;
            store.delete_passkeys(operator.id, None).await?;
        }
        Verb::Remove { name } => {
            store.delete_operator(name.as_str(), false).await.with_context(|| who(&name))?;
        }
    }
    store.close().await;
    Ok(())
}

/// The hash of the password to set, and the password itself if it was made up.
fn password() -> anyhow::Result<(String, Option<Password>)> {
    let mut line = String::new();
    if !std::io::stdin().is_terminal() {
        std::io::stdin().lock().read_line(&mut line).context("standard input")?;
    }
    let given = line.trim_end_matches(['\r', '\n']);
    if given.is_empty() {
        let made = secrets::random_password()?;
        return Ok((secrets::hash_password(made.expose())?, Some(made)));
    }
    if given.chars().count() < SHORTEST_PASSWORD || given.chars().any(char::is_control) {
        bail!("a password needs at least {SHORTEST_PASSWORD} characters and no control characters");
    }
    Ok((secrets::hash_password(given)?, None))
}

fn show(made: Option<Password>) -> anyhow::Result<()> {
    let Some(made) = made else { return Ok(()) };
    eprintln!("Please save the password. It is only shown once.");
    say(made.expose())
}
