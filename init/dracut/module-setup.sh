#!/bin/bash
# SPDX-License-Identifier: MIT
# dracut: guestbox into the image, dracut.modules(7). With its folder, as /usr/lib/dracut/modules.d/50guestbox.
# shellcheck disable=SC2154 # dracut has set moddir, initdir and the like

# The first of these that is there. The static program goes before the one that needs libraries.
gb_first()
{
	local file
	for file; do
		[ ! -e "$dracutsysrootdir$file" ] || { echo "$file"; return; }
	done
	return 1
}
gb_program() { gb_first /usr/lib/guestbox/guestbox /usr/local/bin/guestbox /usr/bin/guestbox; }
gb_parts() { gb_first /usr/share/guestbox/initramfs /usr/local/share/guestbox/initramfs; }

# called by dracut
check()
{
	gb_program >/dev/null && gb_parts >/dev/null
}

# called by dracut
depends()
{
	echo base
}

# called by dracut
installkernel()
{
	local name when names=()
	while read -r name _ when _; do
		case $name in '' | '#'*) continue ;; esac
		[ "$when" = present ] || names+=("$name")
	done <"$dracutsysrootdir$(gb_parts)/modules"
	hostonly='' instmods "${names[@]}" # what the machine that builds the image has is not what the guest has
}

# called by dracut
install()
{
	local file
	inst_binary "$(gb_program)" /usr/bin/guestbox
	inst_script "$(gb_parts)/into-root" /usr/lib/guestbox/into-root
	inst_multiple -o mkfs.btrfs # for a blank data disk
	for file in "$dracutsysrootdir"/etc/guestbox/*; do
		[ ! -f "$file" ] || inst_simple "${file#"$dracutsysrootdir"}"
	done
	if dracut_module_included systemd; then
		inst_simple "$(gb_parts)/guestbox-into-root.service" "$systemdsystemunitdir/guestbox-into-root.service"
		$SYSTEMCTL -q --root "$initdir" add-wants initrd.target guestbox-into-root.service
	else
		inst_hook pre-pivot 50 "$moddir/guestbox-into-root.sh"
	fi
}
