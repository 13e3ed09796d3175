#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# The store of images: archives as other programs make them come out as they went in, and those that are not whole, or want
# out, leave nothing.
load ../lib.bash
load sandbox.bash

# tree DIR: all about each file below it, as one text.
tree() {
	(cd "$1" && find . ! -type d -printf '%P %y %m %U:%G %s %n %T@ %l\n' -o -printf '%P %y %m %U:%G %T@\n' | sort)
	(cd "$1" && find . -type f -print0 | sort -z | xargs -0 sha256sum)
	(cd "$1" && getfattr -Rhd -m - . 2>/dev/null | grep -v '^$' || true)
}

@test "archives of GNU tar in each format, and of busybox come out as they went in" {
	declare -f tree >"$T/tree.sh"
	sandbox_inside '
		. $T/tree.sh
		src=$T/img/src; images=$T/data/sandboxes/images
		mkdir -p $src/dir/sub $src/empty $src/bin
		deep=$src; for i in $(seq 12); do deep=$deep/$(printf "component-%090d" $i); done; mkdir -p $deep
		head -c 100000 /dev/urandom >$src/dir/random; : >$src/dir/nothing
		head -c 511 /dev/zero >$src/511; head -c 512 /dev/zero >$src/512; head -c 513 /dev/zero >$src/513
		echo deep >$deep/file
		ln $src/dir/random $src/dir/hard; ln -s ../511 $src/dir/soft; ln -s /absolute/target $src/dir/abs
		ln -s $(printf "x%.0s" $(seq 300)) $src/long-link
		mkfifo $src/fifo
		cp /bin/true $src/bin/setuid; chmod 4755 $src/bin/setuid; chmod 1777 $src/empty; chmod 2750 $src/dir; chmod 000 $src/512
		chown 1000:1001 $src/dir/random; chown -h 7:8 $src/dir/soft; chown 65535:65535 $src/513
		touch -d "2001-02-03 04:05:06.789012345" $src/511; touch -d "1969-12-31 23:59:58" $src/513
		touch -hd "2002-02-02" $src/dir/soft; touch -d "2003-03-03 03:03:03.5" $src/dir
		printf "sp ace\nnew\tline" >"$src/sp ace
new-line"
		echo umlaut >$src/grün
		setfattr -n user.kind -v "some value" $src/511
		setcap cap_net_raw+ep $src/bin/setuid 2>/dev/null || true
		tree $src >$T/want
		tar --format=pax --xattrs --xattrs-include="*" -C $src -cf $T/img/pax.tar .
		sb image import pax $T/img/pax.tar
		tree $images/pax/root >$T/got
		diff $T/want $T/got
		# The others keep whole seconds and no attributes.
		find $src -exec touch -hd "2020-01-01 00:00:00" {} +
		setfattr -x user.kind $src/511; cp /bin/true $src/bin/setuid; chmod 4755 $src/bin/setuid
		find $src -depth -exec touch -hd "2020-01-01 00:00:00" {} +
		tree $src >$T/want
		for format in gnu oldgnu; do
			tar --format=$format -C $src -cf $T/img/$format.tar .
			sb image import $format - <$T/img/$format.tar
			tree $images/$format/root >$T/got
			diff $T/want $T/got
		done
		busybox tar -C $src -cf $T/img/busybox.tar .
		cat $T/img/busybox.tar | sb image import busybox -
		tree $images/busybox/root >$T/got
		diff $T/want $T/got
		# Short names only: ustar and version 7.
		rm -r "$src"/component-* $src/long-link
		touch -d "2020-01-01 00:00:00" $src
		chmod 644 $src/513; chown 0:0 $src/513; touch -d "2020-01-01 00:00:00" $src/513
		tree $src >$T/want
		tar --format=ustar -C $src -cf $T/img/ustar.tar .
		sb image import ustar $T/img/ustar.tar
		tree $images/ustar/root >$T/got
		diff $T/want $T/got
		rm $src/fifo; touch -d "2020-01-01 00:00:00" $src
		tree $src >$T/want
		tar --format=v7 -C $src -cf $T/img/v7.tar .
		sb image import v7 $T/img/v7.tar
		tree $images/v7/root >$T/got
		diff $T/want $T/got
		[ "$(sb image ls --json | jq -r "[.images[].name] | join(\" \")")" = "busybox gnu oldgnu pax ustar v7" ]
		for i in busybox gnu oldgnu pax ustar v7; do sb image rm $i; done
		silent ls -A $images
		refused 404 "not in the store" sb image rm pax
	'
}

@test "an image is what a sandbox starts of, and each has its own copy" {
	sandbox_inside '
		tar -C $R -cf $T/img/root.tar .
		sb image import box $T/img/root.tar
		sb create --id a --image box --wait; sb create --id b --image box --wait
		sb run a sh -c "echo mine >/root/file; rm /bin/awk"
		[ "$(sb run b ls /root /bin/awk)" = "$(printf "/bin/awk\n\n/root:")" ]
		# Their layers are snapshots: the image may go, and another take its name.
		sb image rm box
		[ "$(sb run a cat /root/file)" = mine ]
		refused 404 "not in the store" sb create --image box
		# The one without a name is "default".
		refused 404 "no image \"default\"" sb create
		sb image import default $T/img/root.tar
		sb create --id c --wait
		sb run c true
		refused 409 "there is one of that name" sb image import default $T/img/root.tar
		mkdir $T/img/new; cp -a $R/. $T/img/new; echo 2 >$T/img/new/version
		tar -C $T/img/new -cf $T/img/new.tar .
		sb image import --replace default $T/img/new.tar
		sb create --id d --wait
		[ "$(sb run d cat /version)" = 2 ]
		sb rm a b c d
		[ "$(btrfs subvolume list $T/data | grep -c images/)" = 1 ]
	'
}

@test "an archive that is not whole makes no image, and leaves nothing" {
	sandbox_inside '
		images=$T/data/sandboxes/images
		clean() { silent ls -A $images && silent subvolumes images; }
		mkdir $T/img/src; head -c 3000000 /dev/urandom >$T/img/src/data
		tar -C $T/img/src -cf $T/img/whole.tar .
		for n in 0 100 512 1000 1500 1000000 3000000; do
			head -c $n $T/img/whole.tar >$T/img/cut.tar
			refused 400 "archive: it" sb image import x $T/img/cut.tar
			clean
		done
		gzip -k $T/img/whole.tar
		zcat $T/img/whole.tar.gz | sb image import x -
		sb image rm x
		head -c 3000000 /dev/urandom >$T/img/noise
		refused 400 "no tar header" sb image import x $T/img/noise
		clean
		# The host leaves in the middle, and when all but the end was sent.
		mkfifo $T/pipe
		client_start() { "$GUESTBOX" vsock-rpc --connect unix:$T/s sandbox image import x - <$T/pipe & client=$!; }
		for part in 1000000 $(stat -c %s $T/img/whole.tar); do
			client_start
			exec 7>$T/pipe
			head -c $part $T/img/whole.tar >&7
			begun() { [ -n "$(ls -A $images)" ]; }
			until_ begun
			kill -9 $client; wait $client || true
			exec 7>&-
			until_ clean
		done
		refused 404 "not in the store" sb create --image x
		# kill -9 of the daemon in the middle: the next one sweeps what is left.
		client_start
		exec 7>$T/pipe
		head -c 1000000 $T/img/whole.tar >&7
		until_ begun
		kill -9 $daemon; wait $daemon || true
		wait $client || true
		exec 7>&-
		gone() { not pgrep -x untar; }
		until_ gone
		daemon_start
		[ "$(sb image ls --json | jq -c .images)" = "[]" ]
		clean
		sb image import x $T/img/whole.tar
		cmp $images/x/root/data $T/img/src/data
	'
}

@test "archives that want out: refused, and nothing outside is touched" {
	sandbox_inside '
		images=$T/data/sandboxes/images
		clean() { silent ls -A $images; }
		mkdir $T/img/evil; cd $T/img/evil
		echo safe >$T/data/victim; echo safe >$T/victim
		# tar keeps such names only when it is told to.
		echo pwned >f
		tar -P --transform "s,^f$,../../../../victim," -cf ../a.tar f
		refused 400 "\"..\" in the name" sb image import x ../a.tar
		tar -P --transform "s,^f$,$T/victim," -cf ../a.tar f
		sb image import x ../a.tar # below the root of the image
		[ "$(cat $images/x/root$T/victim)" = pwned ]
		sb image rm x
		ln -s ../../.. up; tar -cf ../a.tar up; tar -P --transform "s,^f$,up/victim," -rf ../a.tar f
		refused 400 "symbolic link on the way" sb image import x ../a.tar
		ln -s $T abs; tar -cf ../a.tar abs; tar -P --transform "s,^f$,abs/victim," -rf ../a.tar f
		refused 400 "symbolic link on the way" sb image import x ../a.tar
		ln -s $T/victim here; tar -cf ../a.tar here; rm here; echo pwned >here; tar -rf ../a.tar here
		sb image import x ../a.tar
		[ "$(cat $images/x/root/here)" = pwned ]
		sb image rm x
		mknod null c 1 3; mknod disk b 7 0; tar -cf ../a.tar null disk
		[ "$(sb image import --json x ../a.tar | jq -r .left_out)" = 2 ]
		silent ls -A $images/x/root
		sb image rm x
		rm null disk
		chown 70000 f; tar -cf ../a.tar f
		refused 400 "its owner is 70000:0, and a sandbox has ids below 65536" sb image import x ../a.tar
		clean
		[ "$(cat $T/victim $T/data/victim)" = "safe
safe" ]
		for name in "" . .. ../x /x "a/b" .hidden "$(printf "%0300d" 1)" "a b" "$(printf "a\nb")" "ä"; do
			refused 400 "image name" sb image import "$name" ../a.tar
			refused 400 "image name" sb image rm "$name"
		done
		clean
	'
}

@test "a disk that is full: the import says so, cleans up, and leaves room for others" {
	sandbox_inside '
		images=$T/data/sandboxes/images
		# 2 GB of disk; an archive of 3.
		mkdir $T/img/src; truncate -s 3G $T/img/src/zeros
		s=0; out=$(tar -C $T/img/src -cf - . | sb image import x - 2>&1) || s=$?
		echo "$out"
		[ $s = 1 ]
		[[ $out == *"error 500: zeros: No space left on device"*"held back"* ]]
		silent ls -A $images
		# What was written is free again, and there was room all the time.
		btrfs filesystem sync $T/data; btrfs subvolume sync $T/data
		sb image import y - < <(tar -C $R -cf - .)
		sb create --image y --id a --wait
		sb run a true
		gb() { "$GUESTBOX" "$@"; }
		gb vsock-rpc --connect unix:$T/s ping
	'
}

@test "an import that goes on does not hold up the daemon, and many at once are refused" {
	sandbox_inside '
		for i in 1 2 3 4; do
			mkfifo $T/p$i
			sb image import x$i - <$T/p$i & eval "c$i=$!"
			eval "exec 2$i>$T/p$i"
			head -c 10000 /dev/zero | tr "\0" x >/dev/null
		done
		four() { [ "$(ls -A $T/data/sandboxes/images | wc -l)" = 4 ]; }
		until_ four
		refused 409 "4 imports are under way" sb image import x5 /dev/null
		"$GUESTBOX" vsock-rpc --connect unix:$T/s --timeout 120 ping
		sb create --id a --rootfs $R --wait
		sb run a true
		for i in 1 2 3 4; do eval "tar -C \$R -cf - . >&2$i; exec 2$i>&-"; done
		wait $c1 $c2 $c3 $c4
		[ "$(sb image ls --json | jq ".images | length")" = 4 ]
	'
}
