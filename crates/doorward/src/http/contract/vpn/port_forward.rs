//! Port forwardings, in the three spellings of their path (VPN API, section 3.3, Open 19).

use serde_json::Value;

use crate::{
    app::Error as E,
    http::contract::{
        Field, Operation, required,
        schema::{integer, map_of, name, object, one_of, reference},
    },
};

pub(super) fn operations() -> Vec<Operation> {
    let rules = || map_of(reference("PortForward"));
    let rule = || reference("PortForward");
    let list = |path, id| {
        Operation::get(path, id, "Forwardings of a server, by port and protocol", rules()).refuses([E::ServerNotFound])
    };
    let create = |path, id| {
        Operation::post(path, id, "Forwards a port of the server's external address to an account", rule())
            .takes(fields())
            .refuses([E::ServerNotFound])
            .refuses(wrong())
    };
    let bare = |path, id| {
        Operation::post(path, id, "The same; the server is that of `to_peer`", rule()).takes(fields()).refuses(wrong())
    };
    let delete = |path, id| {
        Operation::delete(path, id, "Ends a forwarding and the connections by it").refuses([
            E::ServerNotFound,
            E::ForwardNotFound,
            E::ProtocolInPath,
            E::PortInPath,
        ])
    };
    let delete_bare = |path, id| {
        Operation::delete(path, id, "The same, where exactly one server has that forwarding").refuses([
            E::ForwardNotFound,
            E::ServerAmbiguous,
            E::ProtocolInPath,
            E::PortInPath,
        ])
    };
    vec![
        list("/wireguard/{name}/port_forward", "list_port_forwards"),
        create("/wireguard/{name}/port_forward", "create_port_forward"),
        delete("/wireguard/{name}/port_forward/{dst_port}/{protocol}", "delete_port_forward"),
        list("/wireguard/{name}/port_forwarding", "list_port_forwardings"),
        create("/wireguard/{name}/port_forwarding", "create_port_forwarding"),
        delete("/wireguard/{name}/port_forwarding/{dst_port}/{protocol}", "delete_port_forwarding"),
        bare("/port_forward", "create_port_forward_of_account"),
        delete_bare("/port_forward/{dst_port}/{protocol}", "delete_port_forward_of_any"),
        bare("/port_forwarding", "create_port_forwarding_of_account"),
        delete_bare("/port_forwarding/{dst_port}/{protocol}", "delete_port_forwarding_of_any"),
    ]
}

pub(super) fn rule() -> Value {
    object(&[
        ("dst_port", integer(1, 65_535)),
        ("protocol", one_of(&["tcp", "udp"])),
        ("to_peer", name()),
        ("to_port", integer(1, 65_535)),
    ])
}

fn fields() -> Vec<Field> {
    vec![
        required("dst_port", integer(1, 65_535), "Port of the external address; with its protocol unique there"),
        required("protocol", one_of(&["tcp", "udp"]), "Protocol"),
        required("to_peer", name(), "An account of the server"),
        required("to_port", integer(1, 65_535), "Port at the account"),
    ]
}

fn wrong() -> [E; 6] {
    [E::Protocol, E::DstPort, E::ForwardTaken, E::ForwardIsListenPort, E::ToPort, E::Peer]
}
