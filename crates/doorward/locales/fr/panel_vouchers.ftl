vouchers-unused-changed = Ce ne sont plus les mêmes. Comptez de nouveau avant de supprimer.
menu-vouchers = Bons
chosen = Choisis
choose-all = Tout choisir
working = Cela prend un instant.
unchanged-hint = Vide : inchangé.
vouchers-empty = Il n’y a pas encore de bons. Créez-en un pour un invité, ou mille pour la réception.
voucher-new = Nouveaux bons
voucher-make = Créer et imprimer
voucher-count = Combien (1 à 10 000)
voucher-kind = Ce que les invités saisissent
voucher-kind-code = Un code
voucher-kind-login = Nom et code
voucher-valid = Valable
voucher-starts = Le temps court
voucher-starts-first-use = dès la première connexion
voucher-starts-moment = dès le moment indiqué
voucher-from = Utilisable dès
voucher-from-hint = Vide : aussitôt.
voucher-from-first-use = { $time } dès la première connexion
voucher-down = Téléchargement
voucher-up = Envoi
voucher-total = Données en tout
voucher-speed-down = Débit descendant
voucher-speed-up = Débit montant
voucher-speed-hint = 0 : illimité. Tous les appareils du bon le partagent.
voucher-devices = Appareils
voucher-fullname = Invité
voucher-note = Note
voucher-note-hint = Pour le personnel ; sert à retrouver les bons.
voucher-own-names = Choisir le nom et le code
voucher-own-hint = Pour un bon avec nom et code. Vide : aléatoire.
voucher-username = Nom ou code
voucher-passcode = Code secret
voucher-new-passcode = Nouveau code
voucher-status = État
voucher-any-status = Tout état
voucher-status-unused = Inutilisé
voucher-status-active = Actif
voucher-status-waiting = Pas encore valable
voucher-status-expired = Expiré
voucher-status-spent = Données épuisées
voucher-status-disabled = Désactivé
voucher-until = Jusqu’au
voucher-used = Données utilisées
voucher-first = Première connexion
voucher-last = Dernière connexion
voucher-created = Créé
voucher-online = En ligne
voucher-no-devices = Aucun appareil ne l’a encore utilisé.
voucher-sessions = Sessions
voucher-session-from = Du
voucher-session-to = Au
voucher-speed = Débit
voucher-last-values = Ce sont les valeurs des derniers bons créés.
voucher-from-defaults = Repartir des valeurs par défaut
voucher-release = Libérer
voucher-release-confirm = Libérer la place de cet appareil ? Il sera déconnecté.
voucher-released = La place est de nouveau libre.
voucher-print = Imprimer
voucher-extend = Prolonger
voucher-extend-by = Prolonger de
voucher-enable = Activer
voucher-disable = Désactiver
voucher-saved = { $name } est enregistré.
voucher-extended = { $name } est prolongé.
voucher-enabled = { $name } est activé.
voucher-disabled = { $name } est désactivé.
voucher-deleted = { $name } est supprimé.
voucher-delete-confirm = Supprimer { $name } ? Ses invités seront déconnectés. C’est irréversible.
vouchers-none-chosen = Choisissez d’abord des bons.
vouchers-disable-confirm = Désactiver ? Les invités qui l’utilisent seront déconnectés.
vouchers-delete-confirm = Supprimer les bons ? C’est irréversible.
vouchers-bulk-done = Fait : { $count }.
vouchers-bulk-part = Fait : { $count }. Impossible : { $refused }, car disparus ou sans fin.
vouchers-deleted = Supprimés : { $count }.
vouchers-unused = Supprimer les inutilisés
vouchers-unused-lead = Supprime les bons jamais utilisés. Voyez d’abord combien il y en a.
vouchers-any-note = toute note
vouchers-older = Plus anciens que (jours)
vouchers-count = Compter
print-shape = Papier
print-a4 = Feuille A4
print-80mm = Rouleau de 80 mm
print-labels = Étiquettes, 3 × 8 sur A4
print-hotspot = Hotspot
print-part = Partie
print-none = Rien à imprimer.
print-no-hotspot = Il n’y a pas encore de hotspot, donc pas de code QR.
print-qr = Code QR de { $name }
print-open = Scannez le code ou ouvrez { $address }
print-wifi = Wi-Fi
print-open-only = Ouvrez { $address }
print-show = Sur chaque bon
print-show-qr = Code QR
print-show-validity = Validité
print-show-limits = Appareils, débit, données
print-show-note = Note
print-show-portal = Adresse du portail
print-ssid = Nom du réseau Wi-Fi
print-apply = Afficher
vouchers-print = Imprimer des bons
valid-always = sans fin
error-days = Les jours sont un nombre de 0 à 65535.
error-voucher-count = On peut créer de 1 à 10 000 bons à la fois.
error-voucher-data = Les données sont un nombre de Mo de 1 à 9437184, ou rien.
error-bandwidth = Le débit est un nombre de Mbit/s de 0 à 10000.
error-moment = Indiquez une date et une heure entre 2000 et 2099.
error-fullname = Le nom d’un invité a de 1 à 128 caractères.
error-note = Une note a au plus 200 caractères.
error-valid-for = Choisissez la durée de validité.
error-voucher-devices = Un bon a de 1 à 1000 appareils.
error-voucher-username = Un nom a de 1 à 64 caractères sans espaces.
error-voucher-passcode = Un code a de 1 à 64 caractères.
error-voucher-not-found = Ce bon n’existe plus.
error-username-taken = Ce nom est déjà pris. Choisissez-en un autre.
error-voucher-no-end = Il n’a pas de fin à déplacer : sans fin, ou pas encore commencé.
error-voucher-unusable = Ces valeurs ne vont pas ensemble : plus de places sont prises, ou un code ne change pas.
error-form-reused = Ce formulaire a déjà été envoyé avec d’autres valeurs. Rechargez-le.
valid-hours = { $n ->
    [one] { $text } heure
   *[other] { $text } heures
}
valid-days = { $n ->
    [one] { $text } jour
   *[other] { $text } jours
}
vouchers-number = { $n ->
    [one] { $text } bon
   *[other] { $text } bons
}
vouchers-unused-count = { $n ->
    [one] { $text } bon inutilisé serait supprimé.
   *[other] { $text } bons inutilisés seraient supprimés.
}
voucher-sessions-newest = { $n ->
    [one] Seule la plus récente est affichée.
   *[other] Les { $text } plus récentes sont affichées.
}
