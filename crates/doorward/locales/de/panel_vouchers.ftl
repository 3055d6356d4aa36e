vouchers-unused-changed = Inzwischen sind es andere. Zählen Sie noch einmal, bevor Sie löschen.
menu-vouchers = Voucher
chosen = Gewählt
choose-all = Alle wählen
working = Das dauert einen Moment.
unchanged-hint = Leer: bleibt, wie es ist.
vouchers-empty = Noch gibt es keine Voucher. Machen Sie einen für einen Gast, oder tausend für die Rezeption.
voucher-new = Neue Voucher
voucher-make = Anlegen und drucken
voucher-count = Wie viele (1 bis 10.000)
voucher-kind = Was Gäste eingeben
voucher-kind-code = Einen Code
voucher-kind-login = Benutzername und Passcode
voucher-valid = Gültig für
voucher-starts = Die Zeit läuft
voucher-starts-first-use = ab der ersten Anmeldung
voucher-starts-moment = ab dem angegebenen Zeitpunkt
voucher-from = Nutzbar ab
voucher-from-hint = Leer: sofort.
voucher-from-first-use = { $time } ab der ersten Anmeldung
voucher-down = Download
voucher-up = Upload
voucher-total = Daten insgesamt
voucher-speed-down = Tempo abwärts
voucher-speed-up = Tempo aufwärts
voucher-speed-hint = 0: unbegrenzt. Alle Geräte eines Vouchers teilen es.
voucher-devices = Geräte
voucher-fullname = Gast
voucher-note = Notiz
voucher-note-hint = Für das Personal; danach lässt sich suchen.
voucher-own-names = Benutzername und Passcode wählen
voucher-own-hint = Für einen Voucher mit Benutzername und Passcode. Leer: zufällig.
voucher-username = Benutzername oder Code
voucher-passcode = Passcode
voucher-new-passcode = Neuer Passcode
voucher-status = Status
voucher-any-status = Jeder Status
voucher-status-unused = Unbenutzt
voucher-status-active = Aktiv
voucher-status-waiting = Noch nicht gültig
voucher-status-expired = Abgelaufen
voucher-status-spent = Daten verbraucht
voucher-status-disabled = Gesperrt
voucher-until = Bis
voucher-used = Verbraucht
voucher-first = Erste Anmeldung
voucher-last = Letzte Anmeldung
voucher-created = Angelegt
voucher-online = Online
voucher-no-devices = Noch hat es kein Gerät benutzt.
voucher-sessions = Sitzungen
voucher-session-from = Von
voucher-session-to = Bis
voucher-speed = Tempo
voucher-last-values = Das sind die Werte der zuletzt erstellten Voucher.
voucher-from-defaults = Mit den Vorgaben beginnen
voucher-release = Freigeben
voucher-release-confirm = Den Platz dieses Geräts freigeben? Es geht offline.
voucher-released = Der Platz ist wieder frei.
voucher-print = Drucken
voucher-extend = Verlängern
voucher-extend-by = Verlängern um
voucher-enable = Freischalten
voucher-disable = Sperren
voucher-saved = { $name } wurde gespeichert.
voucher-extended = { $name } wurde verlängert.
voucher-enabled = { $name } wurde freigeschaltet.
voucher-disabled = { $name } wurde gesperrt.
voucher-deleted = { $name } wurde gelöscht.
voucher-delete-confirm = { $name } löschen? Seine Gäste gehen offline. Das lässt sich nicht rückgängig machen.
vouchers-none-chosen = Wählen Sie zuerst Voucher.
vouchers-disable-confirm = Sperren? Gäste, die es benutzen, gehen offline.
vouchers-delete-confirm = Die Voucher löschen? Das lässt sich nicht rückgängig machen.
vouchers-bulk-done = Erledigt: { $count }.
vouchers-bulk-part = Erledigt: { $count }. Nicht möglich: { $refused }, weil es sie nicht mehr gibt oder sie kein Ende haben.
vouchers-deleted = Gelöscht: { $count }.
vouchers-unused = Unbenutzte löschen
vouchers-unused-lead = Löscht Voucher, mit denen sich nie jemand angemeldet hat. Sehen Sie zuerst, wie viele es sind.
vouchers-any-note = jede Notiz
vouchers-older = Älter als (Tage)
vouchers-count = Zählen
print-shape = Papier
print-a4 = A4-Blatt
print-80mm = Rolle 80 mm
print-labels = Etiketten, 3 × 8 auf A4
print-hotspot = Hotspot
print-part = Teil
print-none = Es gibt nichts zu drucken.
print-no-hotspot = Noch gibt es keinen Hotspot, darum tragen die Voucher keinen QR-Code.
print-qr = QR-Code von { $name }
print-open = Code scannen oder { $address } öffnen
print-wifi = WLAN
print-open-only = { $address } öffnen
print-show = Auf jedem Voucher
print-show-qr = QR-Code
print-show-validity = Gültigkeit
print-show-limits = Geräte, Tempo, Daten
print-show-note = Notiz
print-show-portal = Adresse des Portals
print-ssid = Name des WLANs
print-apply = Anzeigen
vouchers-print = Voucher drucken
valid-always = unbegrenzt
error-days = Tage sind eine Zahl von 0 bis 65535.
error-voucher-count = Auf einmal lassen sich 1 bis 10.000 Voucher anlegen.
error-voucher-data = Daten sind eine Zahl in MB von 1 bis 9437184, oder nichts.
error-bandwidth = Das Tempo ist eine Zahl in Mbit/s von 0 bis 10000.
error-moment = Geben Sie Datum und Zeit zwischen 2000 und 2099 an.
error-fullname = Der Name eines Gastes hat 1 bis 128 Zeichen.
error-note = Eine Notiz hat höchstens 200 Zeichen.
error-valid-for = Wählen Sie, wie lange er gilt.
error-voucher-devices = Ein Voucher hat 1 bis 1000 Geräte.
error-voucher-username = Ein Benutzername hat 1 bis 64 Zeichen ohne Leerzeichen.
error-voucher-passcode = Ein Passcode hat 1 bis 64 Zeichen.
error-voucher-not-found = Diesen Voucher gibt es nicht mehr.
error-username-taken = Diesen Benutzernamen gibt es schon. Wählen Sie einen anderen.
error-voucher-no-end = Es gibt kein Ende zu verschieben: Er endet nie, oder seine Zeit hat noch nicht begonnen.
error-voucher-unusable = Diese Werte passen nicht zusammen: Geräte belegen mehr Plätze, oder ein Code kann sich nicht ändern.
error-form-reused = Dieses Formular wurde schon mit anderen Werten gesendet. Laden Sie es neu.
valid-hours = { $n ->
    [one] { $text } Stunde
   *[other] { $text } Stunden
}
valid-days = { $n ->
    [one] { $text } Tag
   *[other] { $text } Tage
}
vouchers-number = { $n ->
    [one] { $text } Voucher
   *[other] { $text } Voucher
}
vouchers-unused-count = { $n ->
    [one] { $text } unbenutzter Voucher würde gelöscht.
   *[other] { $text } unbenutzte Voucher würden gelöscht.
}
voucher-sessions-newest = { $n ->
    [one] Nur die neueste ist aufgeführt.
   *[other] Aufgeführt sind die neuesten { $text }.
}
