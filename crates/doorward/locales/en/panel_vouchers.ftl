vouchers-unused-changed = There are others by now. Count again before you delete.
menu-vouchers = Vouchers
chosen = Chosen
choose-all = Choose all
working = This takes a moment.
unchanged-hint = Empty: stays as it is.
vouchers-empty = There are no vouchers yet. Make one for a guest, or a thousand to lie at the desk.
voucher-new = New vouchers
voucher-make = Make and print
voucher-count = How many (1 to 10,000)
voucher-kind = What guests type
voucher-kind-code = One code
voucher-kind-login = User name and passcode
voucher-valid = Valid for
voucher-starts = Time runs
voucher-starts-first-use = from the first login
voucher-starts-moment = from the moment given
voucher-from = Usable from
voucher-from-hint = Empty: at once.
voucher-from-first-use = { $time } from the first login
voucher-down = Download
voucher-up = Upload
voucher-total = Data in all
voucher-speed-down = Speed down
voucher-speed-up = Speed up
voucher-speed-hint = 0: unlimited. All devices of a voucher share it.
voucher-devices = Devices
voucher-fullname = Guest
voucher-note = Note
voucher-note-hint = For the staff; vouchers can be found by it.
voucher-own-names = Choose user name and passcode
voucher-own-hint = For one voucher with user name and passcode. Empty: random.
voucher-username = User name or code
voucher-passcode = Passcode
voucher-new-passcode = New passcode
voucher-status = Status
voucher-any-status = Any status
voucher-status-unused = Unused
voucher-status-active = Active
voucher-status-waiting = Not yet valid
voucher-status-expired = Expired
voucher-status-spent = Data used up
voucher-status-disabled = Disabled
voucher-until = Until
voucher-used = Data used
voucher-first = First login
voucher-last = Last login
voucher-created = Created
voucher-online = Online
voucher-no-devices = No device has used it yet.
voucher-sessions = Sessions
voucher-session-from = From
voucher-session-to = To
voucher-speed = Speed
voucher-last-values = These are the values of the vouchers made last.
voucher-from-defaults = Start from defaults
voucher-release = Release
voucher-release-confirm = Free the place of this device? It goes offline.
voucher-released = The place is free again.
voucher-print = Print
voucher-extend = Extend
voucher-extend-by = Extend by
voucher-enable = Enable
voucher-disable = Disable
voucher-saved = { $name } was saved.
voucher-extended = { $name } was extended.
voucher-enabled = { $name } was enabled.
voucher-disabled = { $name } was disabled.
voucher-deleted = { $name } was deleted.
voucher-delete-confirm = Delete { $name }? Its guests go offline. This cannot be undone.
vouchers-none-chosen = Choose vouchers first.
vouchers-disable-confirm = Disable? Guests who use it go offline.
vouchers-delete-confirm = Delete the vouchers? This cannot be undone.
vouchers-bulk-done = Done: { $count }.
vouchers-bulk-part = Done: { $count }. Not possible: { $refused }, as they are gone or have no end to be moved.
vouchers-deleted = Deleted: { $count }.
vouchers-unused = Delete unused
vouchers-unused-lead = Deletes vouchers that nobody ever logged in with. First see how many there are.
vouchers-any-note = any note
vouchers-older = Older than (days)
vouchers-count = Count
print-shape = Paper
print-a4 = A4 sheet
print-80mm = Roll of 80 mm
print-labels = Labels, 3 × 8 on A4
print-hotspot = Hotspot
print-part = Part
print-none = There is nothing to print.
print-no-hotspot = There is no hotspot yet, so the vouchers bear no QR code.
print-qr = QR code of { $name }
print-open = Scan the code, or open { $address }
print-wifi = Wi-Fi
print-open-only = Open { $address }
print-show = On each voucher
print-show-qr = QR code
print-show-validity = Validity
print-show-limits = Devices, speed, data
print-show-note = Note
print-show-portal = Portal address
print-ssid = Name of the Wi-Fi network
print-apply = Show
vouchers-print = Print vouchers
valid-always = without end
error-days = Days are a number from 0 to 65535.
error-voucher-count = Between 1 and 10,000 vouchers can be made at once.
error-voucher-data = Data is a number of MB from 1 to 9437184, or nothing.
error-bandwidth = Speed is a number of Mbit/s from 0 to 10000.
error-moment = Give date and time between 2000 and 2099.
error-fullname = A guest’s name has 1 to 128 characters.
error-note = A note has at most 200 characters.
error-valid-for = Choose how long it is valid.
error-voucher-devices = A voucher has between 1 and 1000 devices.
error-voucher-username = A user name has 1 to 64 characters without spaces.
error-voucher-passcode = A passcode has 1 to 64 characters.
error-voucher-not-found = There is no such voucher any more.
error-username-taken = Somebody has that user name already. Choose another.
error-voucher-no-end = It has no end that could be moved: it ends never, or its time has not begun.
error-voucher-unusable = These values do not go together: devices hold more places than that, or a code cannot change.
error-form-reused = This form was sent before with other values. Load it again.
valid-hours = { $n ->
    [one] { $text } hour
   *[other] { $text } hours
}
valid-days = { $n ->
    [one] { $text } day
   *[other] { $text } days
}
vouchers-number = { $n ->
    [one] { $text } voucher
   *[other] { $text } vouchers
}
vouchers-unused-count = { $n ->
    [one] { $text } unused voucher would be deleted.
   *[other] { $text } unused vouchers would be deleted.
}
voucher-sessions-newest = { $n ->
    [one] Only the newest one is listed.
   *[other] The newest { $text } are listed.
}
