menu-hotspots = Hotspoty
hotspot-name = Nazwa
hotspot-new = Nowy hotspot
hotspot-new-lead = Hotspot to sieć gości za jednym interfejsem tej bramy. Metody logowania, stronę portalu i to, co dostępne bez logowania, ustawia się potem; do tego czasu goście logują się voucherami.
hotspots-empty = Nie ma jeszcze żadnego hotspotu. Utwórz go na interfejsie, za którym są goście.
hotspot-methods = Metody logowania
hotspot-seen = Obecne urządzenia
hotspot-online = Online
hotspot-none = brak
hotspot-portal-at = Portal
hotspot-tab-overview = Przegląd
hotspot-tab-network = Sieć
hotspot-tab-login = Logowanie
hotspot-tab-portal = Strona portalu
hotspot-tab-garden = Dostępne bez logowania
hotspot-tab-devices = Urządzenia
hotspot-made = Hotspot { $name } został utworzony.
hotspot-saved = Zapisano: { $name }.
hotspot-deleted = Hotspot { $name } został usunięty.
hotspot-delete = Usuń
hotspot-delete-lead = Goście stracą tę sieć i jej portal. Vouchery i to, co policzono, zostają.
hotspot-delete-confirm = Usunąć hotspot { $name } z ustawieniami i urządzeniami? Wpisz jego nazwę, aby kontynuować. Tego nie można cofnąć.
hotspot-delete-online = { $n ->
    [one] { $text } urządzenie jest online i straci dostęp.
    [few] { $text } urządzenia są online i stracą dostęp.
    [many] { $text } urządzeń jest online i straci dostęp.
   *[other] { $text } urządzenia jest online i straci dostęp.
}
hotspot-garden-count = { $n ->
    [0] brak nazw
    [one] { $text } nazwa
    [few] { $text } nazwy
    [many] { $text } nazw
   *[other] { $text } nazwy
}
hotspot-allowed = Urządzenia bez logowania
hotspot-blocked = Zablokowane urządzenia
hotspot-no-methods = Nie ustawiono żadnej metody logowania: nikt nie może się tu zalogować.
hotspot-gives = Logowanie daje
hotspot-voucher-gives = To, co mówi voucher.
hotspot-gives-no-end = bez końca
hotspot-gives-time = { $time }
hotspot-gives-again = ponownie po { $time }
hotspot-gives-devices = { $n ->
    [one] { $text } urządzenie
    [few] { $text } urządzenia
    [many] { $text } urządzeń
   *[other] { $text } urządzenia
}
hotspot-silent = Urządzenie, którego czas nie minął, wraca online bez logowania
hotspot-place = Miejsce na stronie
hotspot-provider-none = Nie ustawiono jeszcze dostawcy, więc nie można tego oferować.
hotspot-provider-is = Przez { $name }.
hotspot-mobile-note = Kod jest wysyłany na telefon. Oferowane tam, gdzie ustawiono bramkę SMS.
hotspot-zero-note = 0: bez ograniczeń. Dane liczone są w MB po 1 048 576 bajtów.
hotspot-question = Pytanie { $n }
hotspot-required = wymagane
hotspot-sessions = Sesje
hotspot-times-note = 0 oznacza nigdy dla dwóch pierwszych. Adres przydzielany jest na co najmniej 2 minuty.
hotspot-unit = Jednostka
hotspot-logo-remove = Nie pokazuj logo
hotspot-logo-long = Ten obraz jest większy niż 18 kB. Wybierz mniejszy.
hotspot-texts-lead = Puste pola przejmowane są z angielskiego, a gdy i tam jest pusto, z tekstów Doorward.
hotspot-preview-login = Strona logowania
hotspot-preview-terms = Regulamin
hotspot-garden-lead = Te nazwy są dla gości dostępne przed zalogowaniem, na przykład własna strona lub strona płatności.
hotspot-network-note = Zmiana interfejsu lub adresów nie kończy niczego, za co goście zapłacili, ale ich urządzenia potrzebują nowego adresu.
hotspot-ipv6-off = wyłączone
hotspot-ipv6-auto = samo
hotspot-ipv6-given = jak podano
hotspot-mac = Adres MAC
hotspot-note = Notatka
hotspot-device-since = Od
hotspot-device-add = Zapisz urządzenie
hotspot-device-remove = Usuń
hotspot-device-confirm = Usunąć wybrane urządzenia z tej listy? Będą musiały logować się jak inne.
hotspot-devices-lead = Urządzenie może przechodzić bez logowania, jak drukarka lub kasa, albo być zablokowane.
hotspot-devices-empty = Żadne urządzenie nie przechodzi bez logowania i żadne nie jest zablokowane.
hotspot-device-set = Zapisano { $mac }.
hotspot-devices-removed = Usunięto: { $count }.
hotspot-none-chosen = Najpierw wybierz urządzenia.
live-allow = Przepuść bez logowania
live-allow-confirm = Przepuszczać wybrane urządzenia na stałe, bez logowania i bez ograniczeń?
live-block = Zablokuj
live-block-confirm = Zablokować wybrane urządzenia? Nic z nich już nie przejdzie.
live-allowed = Przechodzi bez logowania: { $count }.
live-blocked = Zablokowano: { $count }.
unit-hours = godzin
unit-mb = MB
field-hotspot-interface = Interfejs
field-hotspot-address = Adres i podsieć
field-hotspot-address-ipv6 = Adres IPv6 i podsieć
field-hotspot-nat-ipv6 = Tłumacz IPv6 na własne adresy bramy
field-hotspot-isolated = Oddziel gości od siebie
field-hotspot-lan-access = Sieci dostępne dla gości oprócz internetu
field-host-name = Nazwa portalu
field-venue-url = Więcej o miejscu
field-colour = Kolor
field-terms-version = Wersja regulaminu
field-logo = Logo
field-texts = Teksty
field-texts-title = Tytuł
field-texts-welcome = Powitanie
field-texts-terms = Regulamin
field-texts-marketing = Zgoda marketingowa
field-garden = Nazwy
field-idle-timeout-s = Kończy się bez ruchu po
field-session-timeout-s = Najdłuższa sesja
field-lease-s = Adres przydzielany na
field-methods = Metody logowania
field-methods-code = Pytaj o kod wysyłany e-mailem
field-methods-grace-s = Online, aby odczytać e-mail
field-methods-password = Hasło
field-methods-fields = Pytania
field-methods-provider = Dostawca
field-methods-allowance-valid-s = Czas online
field-methods-allowance-renew-s = Nowy po
field-methods-allowance-devices = Urządzenia jednocześnie
field-methods-allowance-speed-down = Prędkość pobierania
field-methods-allowance-speed-up = Prędkość wysyłania
field-methods-allowance-data-down-mb = Pobieranie
field-methods-allowance-data-up-mb = Wysyłanie
field-methods-allowance-data-total-mb = Razem
hint-hotspot-interface = Interfejs lub mostek, za którym są goście, na przykład br-guest. Musi już istnieć.
hint-hotspot-address = Adres samej bramy, od /16 do /29, na przykład 10.30.0.1/16.
hint-hotspot-ipv6 = „Samo” bierze nieużywaną prywatną podsieć /64.
hint-hotspot-address-ipv6 = Dla „jak podano”: adres samej bramy, /64.
hint-hotspot-nat-ipv6 = Wyłącz tam, gdzie dostawca kieruje podsieć do tej bramy.
hint-hotspot-isolated = Urządzenia gości nie widzą się i nie łączą ze sobą.
hint-hotspot-lan-access = Zwykle żadne. Oddzielone przecinkami, na przykład 10.1.0.0/24.
hint-host-name = Goście widzą ją w adresie. Puste: adres bramy. Przy TLS musi to być nazwa z certyfikatu.
hint-venue-url = Adres https, który telefony pokazują przy sieci. Puste: brak.
hint-colour = Przycisków i linków. Litery na nim same stają się czarne lub białe.
hint-terms-version = Zapisywana przy każdym logowaniu, które akceptuje regulamin.
hint-logo = PNG, JPEG, WebP lub SVG, najwyżej 18 kB.
hint-texts-title = Najwyżej 80 znaków.
hint-texts-welcome = Jedno lub dwa zdania, najwyżej 500 znaków.
hint-texts-terms = Zwykły tekst, puste wiersze między akapitami. Goście muszą go zaakceptować. Puste: brak.
hint-texts-marketing = Na co goście mogą się zgodzić. Puste: nie są pytani.
hint-methods-grace = Sekundy bez ograniczeń na odczytanie kodu, raz na godzinę i urządzenie. 0: brak.
hint-methods-password = Jedno dla wszystkich, na ścianie lub w menu. Puste: brak.
error-mac = To nie jest adres MAC urządzenia, taki jak 02:00:00:00:00:01.
error-hotspot-not-found = Nie ma takiego hotspotu.
error-hotspot-name-taken = Hotspot o tej nazwie już istnieje.
error-hotspot-interface-taken = Na tym interfejsie jest inny hotspot.
error-hotspot-interface = Goście nie mogą być na tym interfejsie: to nie jest nazwa interfejsu, prowadzi do internetu, jest tunelem albo pętlą zwrotną.
error-hotspot-address = Adres to adres bramy z jej podsiecią, od /16 do /29, na przykład 10.30.0.1/16.
error-hotspot-address-ipv6 = Adres IPv6 to adres bramy z jej podsiecią, /64, na przykład fd12:3456:789a::1/64.
error-hotspot-subnet-taken = Podsieć nakłada się na podsieć innego hotspotu, serwera VPN lub interfejsu.
error-hotspot-lan-access = To najwyżej 32 sieci oddzielone przecinkami, na przykład 10.1.0.0/24.
error-hotspot-too-many = Hotspotów może być najwyżej 64.
error-hotspot-in-use = Tymczasem w hotspocie są urządzenia online. Sprawdź ile i potwierdź.
error-hotspot-too-many-devices = Na tej liście może być najwyżej 4096 urządzeń.
error-hotspot-device-not-found = Urządzenia nie ma już na liście.
error-hotspot-note = Notatka ma najwyżej 200 znaków i żadnych znaków sterujących.
