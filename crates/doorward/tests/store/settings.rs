//! Settings.

use doorward::store::VpnSettings;

use crate::databases::Database;

both_engines!(settings_read_back);

async fn settings_read_back(database: Database) {
    let store = database.open().await;
    let defaults =
        VpnSettings { traffic_statistics_frequency: 5, traffic_statistics_history: 2, wireguard_handshake_uptime: 180 };
    assert_eq!(store.vpn_settings().await.unwrap(), defaults);
    for settings in [
        VpnSettings {
            traffic_statistics_frequency: 1440,
            traffic_statistics_history: 2_147_483_647,
            wireguard_handshake_uptime: 300,
        },
        VpnSettings { traffic_statistics_frequency: 1, traffic_statistics_history: 0, wireguard_handshake_uptime: 1 },
    ] {
        store.set_vpn_settings(settings).await.unwrap();
        assert_eq!(store.vpn_settings().await.unwrap(), settings);
    }
}
