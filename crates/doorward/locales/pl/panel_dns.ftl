menu-dns = DNS
dns-tab-resolver = Serwer nazw
dns-tab-records = Własne wpisy
dns-tab-lists = Listy blokad
dns-tab-names = Ręcznie
dns-lead = Brama rozwiązuje nazwy dla gości, a dla kont VPN tam, gdzie to włączysz. Nie zapisuje się, o co ludzie pytają.
dns-resolver = Serwer nazw
dns-enabled = Odpowiadaj kontom VPN
dns-enabled-hint = Pod własnym adresem bramy na każdym serwerze; nowe serwery podają go wtedy klientom. Goście zawsze dostają odpowiedź.
dns-forwarders = Serwery nadrzędne
dns-forwarders-hint = Jeden w wierszu, najwyżej 4: adres, tls://adres#nazwa lub https://adres/ścieżka#nazwa. Puste: serwery tej maszyny. Pytane są wszystkie, najszybszy najczęściej; nieszyfrowany widzi nazwy także obok szyfrowanych.
dns-ttl = Odpowiedzi są pamiętane najwyżej (sekundy)
dns-refresh = Listy są sprawdzane co (godziny)
dns-saved = Zapisano.
dns-places = Gdzie nazwy są blokowane
dns-places-lead = Listy i nazwy podane ręcznie obowiązują tam, gdzie to włączono. Własne wpisy działają wszędzie.
dns-places-empty = Nie ma ani serwera, ani hotspotu.
dns-place-server = serwer VPN
dns-place-hotspot = hotspot
dns-test = Co się dzieje z nazwą
dns-name = Nazwa
dns-test-go = Sprawdź
dns-test-own = Odpowiadają na nią własne wpisy:
dns-test-hand = Zablokowana ręcznie.
dns-test-list = Zablokowana przez listę „{ $list }”.
dns-test-asked = Nie jest zablokowana: pytane są serwery nadrzędne.
dns-counts = Od uruchomienia
dns-counts-lead = Liczby wszystkich gości i kont razem.
dns-blocked-names = Zablokowane nazwy
dns-questions = Pytania
dns-answered = Odpowiedzi
dns-blocked = Zablokowane
dns-over-budget = Ponad miarę
dns-failed = Żaden serwer nadrzędny nie odpowiedział
dns-dropped = Bez miejsca
dns-records-lead = Nazwy, na które brama odpowiada sama, gościom i kontom tak samo. Adresy prowadzą też z powrotem do nazw.
dns-record-add = Nowy wpis
dns-kind = Typ
dns-data = Adres lub nazwa
dns-add = Dodaj
dns-records-empty = Nie ma własnych wpisów.
dns-record-added = Dodano { $name }.
dns-record-deleted = Usunięto { $name }.
dns-record-delete-confirm = Usunąć wpis { $name }?
dns-names-lead = Dozwolona nazwa dostaje odpowiedź bez względu na listy. Przed zalogowaniem nigdy nie są blokowane strony otwarte dla wszystkich ani to, czego urządzenia potrzebują, by znaleźć portal.
dns-name-add = Nowa nazwa
dns-name-hint = example.com to tylko ta nazwa; *.example.com to każda nazwa poniżej.
dns-side = Jest
dns-side-blocked = zablokowana
dns-side-allowed = dozwolona
dns-names-empty = Żadna nazwa nie jest zablokowana ani dozwolona ręcznie.
dns-name-added = Dodano { $name }.
dns-name-deleted = Usunięto { $name }.
dns-lists-lead = Pliki hosts, listy nazw i listy filtrów DNS (||nazwa^). Jeśli listy nie można pobrać, dalej obowiązuje jej ostatnia dobra kopia.
dns-lists-names = { $n ->
    [one] Zablokowana jest { $text } nazwa.
    [few] Zablokowane są { $text } nazwy.
    [many] Zablokowanych jest { $text } nazw.
   *[other] Zablokowanych jest { $text } nazwy.
}
dns-lists-memory = Zajmują { $bytes }.
dns-lists-hand = { $n ->
    [one] Nazwy podane ręcznie zatrzymały { $text } pytanie.
    [few] Nazwy podane ręcznie zatrzymały { $text } pytania.
    [many] Nazwy podane ręcznie zatrzymały { $text } pytań.
   *[other] Nazwy podane ręcznie zatrzymały { $text } pytania.
}
dns-lists-busy = Lista jest pobierana.
dns-lists-look = Sprawdź ponownie
dns-lists-refresh = Pobierz teraz
dns-lists-refreshing = Listy są teraz sprawdzane.
dns-lists-empty = Nie ma list blokad.
dns-list-add = Nowa lista
dns-list-title = Tytuł
dns-list-url = Adres
dns-list-hint = Przez HTTPS lub HTTP, najwyżej 64 MiB. Zostanie pobrana od razu.
dns-list-off = wyłączona
dns-list-fetching = pobierana
dns-list-failed = nie pobrana
dns-list-error = Ostatnia próba nic nie dała: { $why }. Kolejna nastąpi sama.
dns-list-full = Nie ma miejsca na całą tę listę. Wyłącz inne.
dns-list-names = Nazwy
dns-list-skipped = { $n ->
    [one] ({ $text } wiersza nie zrozumiano)
    [few] ({ $text } wierszy nie zrozumiano)
    [many] ({ $text } wierszy nie zrozumiano)
   *[other] ({ $text } wiersza nie zrozumiano)
}
dns-list-fetched = Ta kopia od
dns-list-checked = Sprawdzona
dns-list-never = nigdy
dns-list-hits = Pytania, które zablokowała
dns-list-edit = Zmień
dns-list-enabled = Używaj tej listy
dns-list-added = Dodano { $name }; lista jest pobierana.
dns-list-saved = Zapisano { $name }.
dns-list-deleted = Usunięto { $name }.
dns-list-delete-confirm = Usunąć listę „{ $name }”? Jej nazwy znów będą dostawać odpowiedź.
error-dns-forwarder = Serwer nadrzędny to adres, np. 192.0.2.53 lub [2001:db8::53]:5353, tls://192.0.2.53#dns.example albo https://192.0.2.53/dns-query#dns.example.
error-dns-forwarders = Pytane są najwyżej 4 serwery nadrzędne.
error-dns-ttl = Odpowiedzi są pamiętane od 30 do 3600 sekund.
error-dns-refresh = Listy są sprawdzane co 1 do 168 godzin.
error-dns-name = To nie jest nazwa. Nazwy mają litery bez znaków diakrytycznych, cyfry, łączniki i podkreślenia między kropkami; inne zapisuje się jako xn--….
error-dns-pattern = Nazwa, np. example.com, albo *.example.com dla wszystkich nazw poniżej.
error-dns-data = Typ A przyjmuje adres IPv4, AAAA adres IPv6, CNAME inną nazwę.
error-dns-alias = Nazwa ma albo adresy, albo jeden CNAME, a CNAME prowadzi do innej nazwy.
error-dns-taken = To już istnieje.
error-dns-missing = Takiego wpisu już nie ma.
error-dns-full = Nie ma miejsca: najwyżej 2000 wpisów, 20 list i 2000 nazw podanych ręcznie.
error-dns-title = Tytuł ma od 1 do 64 znaków.
error-dns-url = Adres zaczyna się od https:// lub http://, nie zawiera nazwy użytkownika ani hasła i ma najwyżej 512 znaków.
