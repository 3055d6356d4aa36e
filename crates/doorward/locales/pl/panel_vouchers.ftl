vouchers-unused-changed = Teraz są to inne. Policz ponownie przed usunięciem.
menu-vouchers = Vouchery
chosen = Wybrane
choose-all = Wybierz wszystkie
working = To potrwa chwilę.
unchanged-hint = Puste: bez zmian.
vouchers-empty = Nie ma jeszcze voucherów. Utwórz jeden dla gościa albo tysiąc dla recepcji.
voucher-new = Nowe vouchery
voucher-make = Utwórz i drukuj
voucher-count = Ile (1 do 10 000)
voucher-kind = Co wpisują goście
voucher-kind-code = Jeden kod
voucher-kind-login = Nazwę i hasło
voucher-valid = Ważny
voucher-starts = Czas biegnie
voucher-starts-first-use = od pierwszego logowania
voucher-starts-moment = od podanej chwili
voucher-from = Do użycia od
voucher-from-hint = Puste: od razu.
voucher-from-first-use = { $time } od pierwszego logowania
voucher-down = Pobieranie
voucher-up = Wysyłanie
voucher-total = Dane łącznie
voucher-speed-down = Prędkość pobierania
voucher-speed-up = Prędkość wysyłania
voucher-speed-hint = 0: bez limitu. Dzielą je wszystkie urządzenia vouchera.
voucher-devices = Urządzenia
voucher-fullname = Gość
voucher-note = Notatka
voucher-note-hint = Dla personelu; można po niej szukać.
voucher-own-names = Wybierz nazwę i hasło
voucher-own-hint = Dla jednego vouchera z nazwą i hasłem. Puste: losowe.
voucher-username = Nazwa lub kod
voucher-passcode = Hasło
voucher-new-passcode = Nowe hasło
voucher-status = Status
voucher-any-status = Dowolny status
voucher-status-unused = Nieużyty
voucher-status-active = Aktywny
voucher-status-waiting = Jeszcze nieważny
voucher-status-expired = Wygasł
voucher-status-spent = Dane zużyte
voucher-status-disabled = Wyłączony
voucher-until = Do
voucher-used = Zużyte dane
voucher-first = Pierwsze logowanie
voucher-last = Ostatnie logowanie
voucher-created = Utworzono
voucher-online = Online
voucher-no-devices = Żadne urządzenie go jeszcze nie użyło.
voucher-sessions = Sesje
voucher-session-from = Od
voucher-session-to = Do
voucher-speed = Prędkość
voucher-last-values = To wartości ostatnio utworzonych voucherów.
voucher-from-defaults = Zacznij od wartości domyślnych
voucher-release = Zwolnij
voucher-release-confirm = Zwolnić miejsce tego urządzenia? Zostanie rozłączone.
voucher-released = Miejsce jest znowu wolne.
voucher-print = Drukuj
voucher-extend = Przedłuż
voucher-extend-by = Przedłuż o
voucher-enable = Włącz
voucher-disable = Wyłącz
voucher-saved = Zapisano { $name }.
voucher-extended = Przedłużono { $name }.
voucher-enabled = Włączono { $name }.
voucher-disabled = Wyłączono { $name }.
voucher-deleted = Usunięto { $name }.
voucher-delete-confirm = Usunąć { $name }? Goście zostaną rozłączeni. Tego nie można cofnąć.
vouchers-none-chosen = Najpierw wybierz vouchery.
vouchers-disable-confirm = Wyłączyć? Goście, którzy z niego korzystają, zostaną rozłączeni.
vouchers-delete-confirm = Usunąć vouchery? Tego nie można cofnąć.
vouchers-bulk-done = Wykonano: { $count }.
vouchers-bulk-part = Wykonano: { $count }. Niemożliwe: { $refused }, bo już ich nie ma lub nie mają końca.
vouchers-deleted = Usunięto: { $count }.
vouchers-unused = Usuń nieużyte
vouchers-unused-lead = Usuwa vouchery, których nikt nie użył. Najpierw sprawdź, ile ich jest.
vouchers-any-note = dowolna notatka
vouchers-older = Starsze niż (dni)
vouchers-count = Policz
print-shape = Papier
print-a4 = Arkusz A4
print-80mm = Rolka 80 mm
print-labels = Etykiety, 3 × 8 na A4
print-hotspot = Hotspot
print-part = Część
print-none = Nie ma nic do wydruku.
print-no-hotspot = Nie ma jeszcze hotspotu, więc vouchery nie mają kodu QR.
print-qr = Kod QR { $name }
print-open = Zeskanuj kod lub otwórz { $address }
print-wifi = Wi-Fi
print-open-only = Otwórz { $address }
print-show = Na każdym voucherze
print-show-qr = Kod QR
print-show-validity = Ważność
print-show-limits = Urządzenia, prędkość, dane
print-show-note = Notatka
print-show-portal = Adres portalu
print-ssid = Nazwa sieci Wi-Fi
print-apply = Pokaż
vouchers-print = Drukuj vouchery
valid-always = bez końca
error-days = Dni to liczba od 0 do 65535.
error-voucher-count = Naraz można utworzyć od 1 do 10 000 voucherów.
error-voucher-data = Dane to liczba MB od 1 do 9437184 albo nic.
error-bandwidth = Prędkość to liczba Mbit/s od 0 do 10000.
error-moment = Podaj datę i czas między 2000 a 2099.
error-fullname = Nazwa gościa ma od 1 do 128 znaków.
error-note = Notatka ma najwyżej 200 znaków.
error-valid-for = Wybierz okres ważności.
error-voucher-devices = Voucher ma od 1 do 1000 urządzeń.
error-voucher-username = Nazwa ma od 1 do 64 znaków bez spacji.
error-voucher-passcode = Hasło ma od 1 do 64 znaków.
error-voucher-not-found = Nie ma już takiego vouchera.
error-username-taken = Ta nazwa jest zajęta. Wybierz inną.
error-voucher-no-end = Nie ma końca do przesunięcia: nie kończy się nigdy albo jego czas się nie zaczął.
error-voucher-unusable = Te wartości nie pasują do siebie: zajęto więcej miejsc albo kod nie może się zmienić.
error-form-reused = Ten formularz wysłano już z innymi wartościami. Wczytaj go ponownie.
valid-hours = { $n ->
    [one] { $text } godzina
    [few] { $text } godziny
   *[other] { $text } godzin
}
valid-days = { $n ->
    [one] { $text } dzień
   *[other] { $text } dni
}
vouchers-number = { $n ->
    [one] { $text } voucher
    [few] { $text } vouchery
   *[other] { $text } voucherów
}
vouchers-unused-count = { $n ->
    [one] Usunięty zostałby { $text } nieużyty voucher.
    [few] Usunięte zostałyby { $text } nieużyte vouchery.
   *[other] Usuniętych zostałoby { $text } nieużytych voucherów.
}
voucher-sessions-newest = { $n ->
    [one] Pokazano tylko najnowszą.
    [few] Pokazano { $text } najnowsze.
   *[other] Pokazano { $text } najnowszych.
}
