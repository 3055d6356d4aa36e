vouchers-unused-changed = Ahora son otros. Cuente de nuevo antes de eliminar.
menu-vouchers = Vales
chosen = Elegidos
choose-all = Elegir todos
working = Esto tarda un momento.
unchanged-hint = Vacío: no cambia.
vouchers-empty = Aún no hay vales. Cree uno para un huésped o mil para la recepción.
voucher-new = Nuevos vales
voucher-make = Crear e imprimir
voucher-count = Cuántos (1 a 10.000)
voucher-kind = Qué escriben los huéspedes
voucher-kind-code = Un código
voucher-kind-login = Usuario y código
voucher-valid = Válido por
voucher-starts = El tiempo corre
voucher-starts-first-use = desde el primer acceso
voucher-starts-moment = desde el momento indicado
voucher-from = Utilizable desde
voucher-from-hint = Vacío: de inmediato.
voucher-from-first-use = { $time } desde el primer acceso
voucher-down = Descarga
voucher-up = Subida
voucher-total = Datos en total
voucher-speed-down = Velocidad de bajada
voucher-speed-up = Velocidad de subida
voucher-speed-hint = 0: sin límite. Lo comparten todos los dispositivos del vale.
voucher-devices = Dispositivos
voucher-fullname = Huésped
voucher-note = Nota
voucher-note-hint = Para el personal; sirve para buscar.
voucher-own-names = Elegir usuario y código
voucher-own-hint = Para un vale con usuario y código. Vacío: aleatorio.
voucher-username = Usuario o código
voucher-passcode = Código
voucher-new-passcode = Nuevo código
voucher-status = Estado
voucher-any-status = Cualquier estado
voucher-status-unused = Sin usar
voucher-status-active = Activo
voucher-status-waiting = Aún no válido
voucher-status-expired = Caducado
voucher-status-spent = Datos agotados
voucher-status-disabled = Deshabilitado
voucher-until = Hasta
voucher-used = Datos usados
voucher-first = Primer acceso
voucher-last = Último acceso
voucher-created = Creado
voucher-online = En línea
voucher-no-devices = Ningún dispositivo lo ha usado aún.
voucher-sessions = Sesiones
voucher-session-from = Desde
voucher-session-to = Hasta
voucher-speed = Velocidad
voucher-last-values = Estos son los valores de los últimos vales creados.
voucher-from-defaults = Empezar con los valores predeterminados
voucher-release = Liberar
voucher-release-confirm = ¿Liberar la plaza de este dispositivo? Se desconectará.
voucher-released = La plaza vuelve a estar libre.
voucher-print = Imprimir
voucher-extend = Ampliar
voucher-extend-by = Ampliar en
voucher-enable = Habilitar
voucher-disable = Deshabilitar
voucher-saved = Se guardó { $name }.
voucher-extended = Se amplió { $name }.
voucher-enabled = Se habilitó { $name }.
voucher-disabled = Se deshabilitó { $name }.
voucher-deleted = Se eliminó { $name }.
voucher-delete-confirm = ¿Eliminar { $name }? Sus huéspedes se desconectarán. No se puede deshacer.
vouchers-none-chosen = Elija vales primero.
vouchers-disable-confirm = ¿Deshabilitar? Los huéspedes que lo usan se desconectarán.
vouchers-delete-confirm = ¿Eliminar los vales? No se puede deshacer.
vouchers-bulk-done = Hecho: { $count }.
vouchers-bulk-part = Hecho: { $count }. No fue posible: { $refused }, porque ya no existen o no tienen fin.
vouchers-deleted = Eliminados: { $count }.
vouchers-unused = Eliminar sin usar
vouchers-unused-lead = Elimina vales con los que nadie ha entrado nunca. Vea primero cuántos son.
vouchers-any-note = cualquier nota
vouchers-older = Más antiguos que (días)
vouchers-count = Contar
print-shape = Papel
print-a4 = Hoja A4
print-80mm = Rollo de 80 mm
print-labels = Etiquetas, 3 × 8 en A4
print-hotspot = Hotspot
print-part = Parte
print-none = No hay nada que imprimir.
print-no-hotspot = Aún no hay hotspot, por eso los vales no llevan código QR.
print-qr = Código QR de { $name }
print-open = Escanee el código o abra { $address }
print-wifi = Wi-Fi
print-open-only = Abra { $address }
print-show = En cada vale
print-show-qr = Código QR
print-show-validity = Validez
print-show-limits = Dispositivos, velocidad, datos
print-show-note = Nota
print-show-portal = Dirección del portal
print-ssid = Nombre de la red Wi-Fi
print-apply = Mostrar
vouchers-print = Imprimir vales
valid-always = sin fin
error-days = Los días son un número de 0 a 65535.
error-voucher-count = Se pueden crear de 1 a 10.000 vales a la vez.
error-voucher-data = Los datos son un número de MB de 1 a 9437184, o nada.
error-bandwidth = La velocidad es un número de Mbit/s de 0 a 10000.
error-moment = Indique fecha y hora entre 2000 y 2099.
error-fullname = El nombre del huésped tiene de 1 a 128 caracteres.
error-note = Una nota tiene como máximo 200 caracteres.
error-valid-for = Elija cuánto tiempo vale.
error-voucher-devices = Un vale tiene entre 1 y 1000 dispositivos.
error-voucher-username = Un usuario tiene de 1 a 64 caracteres sin espacios.
error-voucher-passcode = Un código tiene de 1 a 64 caracteres.
error-voucher-not-found = Ese vale ya no existe.
error-username-taken = Ese usuario ya existe. Elija otro.
error-voucher-no-end = No tiene un fin que mover: no termina nunca o su tiempo no ha empezado.
error-voucher-unusable = Esos valores no encajan: hay más plazas ocupadas, o un código no puede cambiar.
error-form-reused = Este formulario ya se envió con otros valores. Cárguelo de nuevo.
valid-hours = { $n ->
    [one] { $text } hora
   *[other] { $text } horas
}
valid-days = { $n ->
    [one] { $text } día
   *[other] { $text } días
}
vouchers-number = { $n ->
    [one] { $text } vale
   *[other] { $text } vales
}
vouchers-unused-count = { $n ->
    [one] Se eliminaría { $text } vale sin usar.
   *[other] Se eliminarían { $text } vales sin usar.
}
voucher-sessions-newest = { $n ->
    [one] Solo se muestra la más reciente.
   *[other] Se muestran las { $text } más recientes.
}
