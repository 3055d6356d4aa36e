//! Port forwardings, in the three spellings of their path (VPN API, section 3.3, Open 19).

use std::collections::BTreeMap;

use axum::extract::Request;
use doorward_policy::vpn_server::Protocol;
use serde::Serialize;

use super::{
    Answer, Named, Operations,
    values::{number_within, parsed},
};
use crate::{
    app::{
        Given,
        port_forwards::{Forward, ForwardName, ForwardWish},
    },
    http::{body::Parameters, envelope::Success, error::Refusal},
};

/// The rule object.
#[derive(Serialize)]
pub(super) struct ForwardResponse {
    dst_port: u16,
    protocol: &'static str,
    to_peer: String,
    to_port: u16,
}

impl From<Forward> for ForwardResponse {
    fn from(Forward { account, forward }: Forward) -> Self {
        Self {
            dst_port: forward.dst_port,
            protocol: forward.protocol.as_str(),
            to_peer: account.to_string(),
            to_port: forward.to_port,
        }
    }
}

pub(super) async fn list(
    Operations(app): Operations,
    Named(server): Named<String>,
) -> Answer<BTreeMap<String, ForwardResponse>> {
    let keyed = |f: Forward| (format!("{}_{}", f.forward.dst_port, f.forward.protocol.as_str()), f.into());
    Ok(Success(app.list_forwards(&server).await?.into_iter().map(keyed).collect()))
}

pub(super) async fn create(
    Operations(app): Operations,
    Named(server): Named<String>,
    request: Request,
) -> Answer<ForwardResponse> {
    app.require_server(&server)?;
    let wish = read_wish(request).await?;
    Ok(Success(app.create_forward(Some(&server), wish).await?.into()))
}

pub(super) async fn create_bare(Operations(app): Operations, request: Request) -> Answer<ForwardResponse> {
    let wish = read_wish(request).await?;
    Ok(Success(app.create_forward(None, wish).await?.into()))
}

pub(super) async fn delete(
    Operations(app): Operations,
    Named((server, dst_port, protocol)): Named<(String, String, String)>,
) -> Answer<&'static str> {
    app.delete_forward(Some(&server), name(&dst_port, &protocol)).await?;
    Ok(Success("success"))
}

pub(super) async fn delete_bare(
    Operations(app): Operations,
    Named((dst_port, protocol)): Named<(String, String)>,
) -> Answer<&'static str> {
    app.delete_forward(None, name(&dst_port, &protocol)).await?;
    Ok(Success("success"))
}

async fn read_wish(request: Request) -> Result<ForwardWish, Refusal> {
    let sent = Parameters::read(request).await?;
    Ok(ForwardWish {
        dst_port: sent.given("dst_port", number_within(1, u16::MAX)),
        protocol: sent.given("protocol", Protocol::parse),
        to_peer: sent.given("to_peer", parsed),
        to_port: sent.given("to_port", number_within(1, u16::MAX)),
    })
}

fn name(dst_port: &str, protocol: &str) -> ForwardName {
    ForwardName {
        dst_port: number_within(1, u16::MAX)(dst_port).map_or(Given::Wrong, Given::Is),
        protocol: Protocol::parse(protocol).map_or(Given::Wrong, Given::Is),
    }
}
