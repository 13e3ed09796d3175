#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# arcmount against the guest's kernel: the rules, virtiofs without a DAX window, tags that are not offered, DAX that holds.
load lib.bash

setup_file()
{
	vm_test_can || return 0
	vm_test_share arcbox
	vm_test_share private
	echo "from the host" >"$BATS_FILE_TMPDIR/share-arcbox/host-file"
	truncate -s 64M "$BATS_FILE_TMPDIR/pmem"
	mkdir "$BATS_FILE_TMPDIR/content"
	head -c 100000 /dev/urandom >"$BATS_FILE_TMPDIR/content/file"
	mkfs.ext4 -q -b 4096 -d "$BATS_FILE_TMPDIR/content" "$BATS_FILE_TMPDIR/pmem"
	VM_PMEMS=("$BATS_FILE_TMPDIR/pmem")
	# A disk with two partitions of one content: only the table tells them apart.
	vm_test_disk parted 32M
	sfdisk -q "$BATS_FILE_TMPDIR/parted" <<-'TABLE'
		label: gpt
		start=2048, size=16384, uuid=11111111-2222-3333-4444-555555555555, name="first part"
		start=20480, size=16384, uuid=AAAAAAAA-BBBB-CCCC-DDDD-EEEEEEEEEEEE, name="second"
	TABLE
	mkfs.ext4 -q -L same -E offset=1048576 -d "$BATS_FILE_TMPDIR/content" "$BATS_FILE_TMPDIR/parted" 8M
	dd if="$BATS_FILE_TMPDIR/parted" of="$BATS_FILE_TMPDIR/parted" bs=1M skip=1 seek=10 count=8 conv=notrunc status=none
	vm_test_start guestbox.share=arcbox:/srv/second:ro
}

teardown_file()
{
	vm_test_stop
}

@test "every rule of mount, umount2 and pivot_root, in an initramfs, from a static binary" {
	run guest 'arcmount probe; echo "status $?"; arcmount list | wc -l; arcmount probe >/dev/null; arcmount list | wc -l'
	echo "$output"
	[ "${lines[0]}" = 1..34 ]
	[[ $output == *"status 0"* ]]
	[[ $output != *"not ok"* ]]
	# The initramfs is the one place where P6 can be seen.
	grep -q '^ok 32 - P6 .*expected EINVAL, seen EINVAL' <<<"$output"
	[ "${lines[-1]}" = "${lines[-2]}" ]
}

@test "shares: what was mounted, and a second run leaves it so" {
	run guest 'arcmount list /arcbox; arcmount list /private; arcmount list /srv/second; arcmount shares --json 2>/dev/null'
	echo "$output"
	# Without a window the kernel takes dax=inode, under which no file asks for DAX; dax=always it refuses.
	[[ ${lines[0]} == $'/arcbox\tarcbox\tvirtiofs\t'*$'\tinode' ]]
	[[ ${lines[1]} == $'/private\tprivate\tvirtiofs\t'* ]]
	[[ ${lines[2]} == $'/srv/second\tarcbox\tvirtiofs\tro'* ]]
	[[ ${lines[3]} == '[{"tag":"arcbox",'*'"dax":"inode"'*'"tag":"users",'*'"state":"absent"'*'"target":"/srv/second",'*'"state":"already"'* ]]
	run guest 'cat /arcbox/host-file'
	[ "$output" = "from the host" ]
}

@test "dax=require on a device without a window: the cause is that, and nothing is mounted" {
	run guest 'mkdir -p /mnt/x; arcmount umount /srv/second /arcbox; arcmount mount -t virtiofs -o dax=require arcbox /mnt/x
		echo "status $?"; arcmount is-mounted /mnt/x || echo unmounted
		arcmount shares >/dev/null; arcmount is-mounted /arcbox && echo back'
	echo "$output"
	[[ ${lines[0]} == *DAX*"no DAX window"* ]]
	[ "${lines[1]} ${lines[2]} ${lines[-1]}" = "status 1 unmounted back" ]
}

@test "a remount that claims success is not believed" {
	run guest 'arcmount remount -o dax=always /arcbox; echo "status $?"'
	echo "$output"
	[[ ${lines[0]} == *dax* ]]
	[ "${lines[-1]}" = "status 1" ]
}

@test "a tag that the host does not offer is named, with what there is" {
	run guest 'arcmount mount -t virtiofs nosuchtag /mnt; echo "status $?"
		arcmount mount -o nofail -t virtiofs nosuchtag /mnt; echo "status $?"'
	echo "$output"
	[[ ${lines[0]} == *'virtiofs tag "nosuchtag" is not offered by the host ('* ]]
	[[ ${lines[0]} == *arcbox* && ${lines[0]} == *private* ]]
	[ "${lines[1]} ${lines[2]}" = "status 1 status 0" ]
}

@test "ext4 on persistent memory: DAX holds, and is proven by a file" {
	run guest 'mkdir -p /mnt/p; arcmount mount -t ext4 -o ro,dax=require /dev/pmem0 /mnt/p && arcmount list /mnt/p
		arcmount umount /mnt/p
		echo "p /mnt/p ext4 ro,dax=always" | sed "s|^p|/dev/pmem0|" >/tmp/table
		arcmount shares --table /tmp/table | grep pmem0; arcmount umount /mnt/p
		arcmount mount -t ext4 -o ro /dev/pmem0 /mnt/p; arcmount shares --table /tmp/table | grep pmem0; arcmount list /mnt/p'
	echo "$output"
	[[ ${lines[0]} == $'/mnt/p\t/dev/pmem0\text4\t'*$'\talways' ]]
	[[ ${lines[1]} == "/dev/pmem0 on /mnt/p: mounted, dax=always" ]]
	# Mounted before without it, and idle: brought to DAX.
	[[ ${lines[2]} == "/dev/pmem0 on /mnt/p: mounted, dax=always" ]]
	[[ ${lines[3]} == *$'\talways' ]]
}

@test "a share that is in use is left as it is, and that is said" {
	run guest 'cd /arcbox && arcmount shares; cat host-file'
	echo "$output"
	[[ $output == *"dax=inode (/arcbox is mounted without dax=always, and it is in use: "*"working directory /arcbox"* ]]
	[[ ${lines[-1]} == "from the host" ]]
}

@test "PARTUUID= and PARTLABEL=: the partition that the table names, whatever case the number is in" {
	run guest 'mkdir -p /mnt/a /mnt/b
		arcmount mount -o ro PARTUUID=aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee /mnt/b
		arcmount mount -o ro "PARTLABEL=first part" /mnt/a
		arcmount list /mnt/b; arcmount list /mnt/a; ls /mnt/a /mnt/b | grep -c file
		arcmount umount PARTUUID=AAAAAAAA-BBBB-CCCC-DDDD-EEEEEEEEEEEE; arcmount umount /mnt/a
		arcmount is-mounted /mnt/b || echo gone
		arcmount mount PARTUUID=00000000-2222-3333-4444-555555555555 /mnt/a; echo "status $?"
		arcmount mount PARTLABEL=third /mnt/a; echo "status $?"'
	echo "$output"
	[[ ${lines[0]} == $'/mnt/b\t'/dev/vd?2$'\text4\t'* ]]
	[[ ${lines[1]} == $'/mnt/a\t'/dev/vd?1$'\text4\t'* ]]
	[ "${lines[2]} ${lines[3]}" = "2 gone" ]
	[[ ${lines[4]} == *PARTUUID=00000000-* ]]
	[ "${lines[5]}" = "status 1" ]
	[[ ${lines[6]} == *PARTLABEL=third* ]]
	[ "${lines[7]}" = "status 1" ]
}
