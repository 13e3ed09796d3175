#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Archives of images: `docker save`, old and new, and the OCI's layout, compressed in each way; layers with whiteouts; what is
# damaged, and layers that want out.
load ../lib.bash
load sandbox.bash

setup() {
	sandbox_setup
	ARCH=$(uname -m | sed 's/x86_64/amd64/; s/aarch64/arm64/')
	export ARCH
	# layer DIR OUT: a layer's archive of all in DIR.
	layer() { tar --numeric-owner -C "$1" -cf "$2" .; }
	digest() { sha256sum "$1" | cut -d' ' -f1; }
	# config OUT MEMBERS-OF-CONFIG LAYER...: the configuration of an image of these unpacked layers.
	config() {
		local out=$1 members=$2 ids='' l
		shift 2
		for l; do ids+="${ids:+,}\"sha256:$(digest "$l")\""; done
		printf '{"architecture":"%s","os":"linux","config":{%s},"rootfs":{"type":"layers","diff_ids":[%s]}}' "$ARCH" "$members" "$ids" >"$out"
	}
	# docker_old OUT CONFIG LAYER...: as docker before 25 saves it; the papers come last.
	docker_old() {
		local out=$1 config=$2 d names='' n=0 l
		shift 2
		d=$(mktemp -d "$T/img/XXXXXX")
		for l; do n=$((n + 1)); mkdir "$d/l$n"; cp "$l" "$d/l$n/layer.tar"; names+="${names:+,}\"l$n/layer.tar\""; done
		cp "$config" "$d/$(digest "$config").json"
		printf '[{"Config":"%s.json","RepoTags":["x:latest"],"Layers":[%s]}]' "$(digest "$config")" "$names" >"$d/manifest.json"
		tar -C "$d" -cf "$out" $(ls "$d" | grep -v manifest) manifest.json
		rm -r "$d"
	}
	# oci OUT CONFIG LAYER...: an OCI layout; docker 25 and later add a manifest.json with names of the same files.
	blob() { local h; h=$(digest "$2"); cp "$2" "$1/blobs/sha256/$h"; printf '{"mediaType":"x","digest":"sha256:%s","size":%s}' "$h" "$(stat -c %s "$2")"; }
	oci() {
		local out=$1 config=$2 d list='' c l
		shift 2
		d=$(mktemp -d "$T/img/XXXXXX")
		mkdir -p "$d/blobs/sha256"
		for l; do list+="${list:+,}$(blob "$d" "$l")"; done
		c=$(blob "$d" "$config")
		printf '{"schemaVersion":2,"config":%s,"layers":[%s]}' "$c" "$list" >"$T/img/manifest"
		printf '{"schemaVersion":2,"manifests":[%s,{"digest":"sha256:%064d","platform":{"os":"unknown","architecture":"unknown"}}]}' \
			"$(blob "$d" "$T/img/manifest")" 0 >"$d/index.json"
		echo '{"imageLayoutVersion":"1.0.0"}' >"$d/oci-layout"
		tar -C "$d" -cf "$out" .
		rm -r "$d"
	}
	export -f layer digest config docker_old blob oci
}

@test "docker save and OCI layout, gzip, zstd, xz and bzip2: one image, and its configuration is where a sandbox starts" {
	sandbox_inside '
		images=$T/data/sandboxes/images
		cd $T/img; mkdir b
		cp -a $R a
		mkdir -p a/gone a/kept a/opaque/below; echo 1 >a/gone/file; echo 1 >a/kept/old
		echo 1 >a/opaque/below/x; echo 1 >a/opaque/y; echo low >a/both
		ln -s kept a/link
		# above: a file goes, a folder goes, a folder is emptied and gets something new (in front of its mark and behind it),
		# a file becomes a folder and the other way about, a hard link to a file below, a name that leads through a link below
		mkdir -p b/opaque b/kept b/gone2 b/link2
		: >b/.wh.gone; : >b/kept/.wh.old; echo 2 >b/opaque/a-new; : >b/opaque/.wh..wh..opq; echo 2 >b/opaque/z-new
		mkdir b/both; echo 2 >b/both/inside
		layer a a.tar; layer b b.tar
		mkdir b2; echo through >b2/file; tar -C b2 --transform "s,^file,link/through," -rf b.tar file
		cp a/both b2/t; tar -C b2 --transform "s,^t\$,gone/again," -rf b.tar t
		config conf "\"Env\":[\"GREETING=hello\",\"PATH=/opt:/bin\"],\"WorkingDir\":\"/tmp/\",\"User\":\"bob\",\"Entrypoint\":[\"/bin/echo\",\"from\"],\"Cmd\":[\"image\"]" \
			a.tar b.tar
		gzip -k a.tar; gzip -k b.tar; zstd -q a.tar; xz -k -1 b.tar
		docker_old one.tar conf a.tar b.tar
		oci two.tar conf a.tar b.tar
		oci three.tar conf a.tar.gz b.tar.gz
		oci four.tar conf a.tar.zst b.tar.xz
		docker_old five.tar conf a.tar.gz b.tar.gz
		gzip -k one.tar; zstd -q two.tar; xz -k -1 three.tar; bzip2 -k one.tar
		check() {
			r=$images/x/root
			[ ! -e $r/kept/old ]
			[ "$(cat $r/gone/again)" = low ]
			[ ! -e $r/gone/file ]
			[ "$(ls $r/opaque | tr "\n" " ")" = "a-new z-new " ]
			[ "$(cat $r/both/inside)" = 2 ]
			[ "$(cat $r/kept/through)" = through ]
			[ -L $r/link ]
			silent find $r -name ".wh.*"
			[ -e $r/bin/busybox ]
			[ "$(ls $images/x | tr "\n" " ")" = "record root " ]
			[ "$(find $r | wc -l)" = "$(cat $T/count)" ]
		}
		for file in one.tar two.tar three.tar four.tar five.tar one.tar.gz two.tar.zst three.tar.xz one.tar.bz2; do
			echo $file
			out=$(sb image import x $file)
			echo "$out"
			[[ $out == *", 2 layers" ]]
			[ -e $T/count ] || find $images/x/root | wc -l >$T/count
			check
			[ "$file" = one.tar.bz2 ] || sb image rm x
		done
		[ "$(sb image ls --json | jq -c ".images[0] | [.env, .working_dir, .user, .entrypoint, .cmd, .layers]")" = \
			"[[\"GREETING=hello\",\"PATH=/opt:/bin\"],\"/tmp\",\"bob\",[\"/bin/echo\",\"from\"],[\"image\"],2]" ]
		# What it says stands where nothing else is said.
		sb create --id a --image x --wait
		[ "$(sb run a /bin/sh -c "echo \$GREETING \$PATH; pwd; /bin/id -un")" = "hello /opt:/bin
/tmp
bob" ]
		sb create --id b --image x -e GREETING=bye -w / -u root --wait
		[ "$(sb run b /bin/sh -c "echo \$GREETING \$PATH; pwd; /bin/id -un")" = "bye /opt:/bin
/
root" ]
		# Its command runs when that is asked for.
		sb create --id c --image x -v $T/img/b2:/out --image-command
		until_ state_is c stopped
		[ "$(sb inspect --json c | jq -r .last_exit_code)" = 0 ]
		config conf2 "\"Entrypoint\":[\"/bin/sh\",\"-c\"],\"Cmd\":[\"exit 7\"]" a.tar
		docker_old six.tar conf2 a.tar
		sb image import y six.tar
		sb create --id d --image y --image-command; until_ state_is d stopped
		[ "$(sb inspect --json d | jq -r .last_exit_code)" = 7 ]
		sb create --id e --image y --image-command "exit 8"; until_ state_is e stopped
		[ "$(sb inspect --json e | jq -r .last_exit_code)" = 8 ]
		refused 400 "says no command of its own" sb create --rootfs $R --image-command
		sb rm a b c d e
	'
}

@test "an image archive that is damaged, for another machine, of two images, or not all there: no image, nothing left" {
	sandbox_inside '
		images=$T/data/sandboxes/images
		clean() { silent ls -A $images && silent subvolumes images; }
		cd $T/img; mkdir a d; echo file >a/file
		layer a a.tar; config conf "" a.tar; gzip -k a.tar
		oci good.tar conf a.tar.gz
		bad() { # TEXT
			tar -C d -cf bad.tar .
			refused 400 "$1" sb image import x bad.tar
			clean
		}
		again() { rm -r d; mkdir d; tar -C d -xf ${1:-good.tar}; }
		again; for f in d/blobs/sha256/*; do
			cp $f saved; printf x >>$f
			bad "damaged: its SHA-256 is"
			cp saved $f
		done
		for f in d/blobs/sha256/*; do mv $f saved; bad "named in it, and not there"; mv saved $f; done
		for f in d/blobs/sha256/*; do mv $f saved; ln -s /etc/passwd $f; bad "named in it, and not there"; rm $f; mv saved $f; done
		for f in d/blobs/sha256/*; do mv $f saved; mkfifo $f; bad "not a file"; rm $f; mv saved $f; done
		echo nonsense >d/index.json; bad "its index is no JSON"
		echo "{}" >d/index.json; bad "its index has no manifests"
		printf "{\"manifests\":[{\"digest\":\"md5:1\"}]}" >d/index.json; bad "its digest is none of SHA-256"
		printf "{\"manifests\":[{\"digest\":\"sha256:../../../x\"}]}" >d/index.json; bad "its digest is none of SHA-256"
		printf "{\"manifests\":[{\"digest\":\"sha256:%064d\",\"platform\":{\"os\":\"linux\",\"architecture\":\"s390x\"}}]}" 0 >d/index.json
		bad "no image for linux/$ARCH"
		printf "{\"manifests\":[{\"digest\":\"sha256:%064d\"},{\"digest\":\"sha256:%064d\"}]}" 0 1 >d/index.json
		bad "more than one image"
		docker_old old.tar conf a.tar
		again old.tar; printf x >>d/l1/layer.tar; bad "damaged: its SHA-256 is"
		again old.tar; echo "[]" >d/manifest.json; bad "names no image"
		again old.tar; jq -c ". + ." d/manifest.json >m; mv m d/manifest.json; bad "more than one image"
		for path in ../../../etc/passwd "" /; do
			again old.tar; jq -c ".[0].Layers[0] = \"$path\"" d/manifest.json >m; mv m d/manifest.json
			bad "manifest.json: a layer is no path in it"
		done
		again old.tar; jq -c ".[0].Layers = []" d/manifest.json >m; mv m d/manifest.json; bad "0 layers, and the digests of 1"
		sed "s/$ARCH/s390x/" conf >conf2; docker_old o.tar conf2 a.tar; again o.tar; bad "for another machine"
		config conf3 "\"Env\":[\"no-variable\"]" a.tar; docker_old o.tar conf3 a.tar; again o.tar; bad "is no variable"
		# compressed, and cut off or damaged
		gzip -k good.tar
		for n in 10 $(($(stat -c %s good.tar.gz) / 2)) $(($(stat -c %s good.tar.gz) - 5)); do
			head -c $n good.tar.gz >cut.gz
			refused 400 "gzip cannot unpack it" sb image import x cut.gz
			clean
		done
		# a program that is not there
		kill $daemon; wait $daemon || true
		daemon_path=/nonexistent daemon_start
		refused 400 "the guest has no program of that name: send what gzip -dc makes of it" sb image import x good.tar.gz
		clean
	'
}

@test "layers that want out, and one that grows without end: refused or kept inside; nobody sees more than his disk" {
	sandbox_inside '
		images=$T/data/sandboxes/images
		cd $T/img; mkdir a evil; echo safe >$T/victim; mkdir $T/outside; echo safe >$T/outside/file
		ln -s $T/outside a/out; ln -s / a/top; ln -s ../../../../../../../../$T/outside a/up
		ln -s loop a/loop; mkdir a/dir; echo x >a/dir/x
		layer a a.tar
		touch evil/f
		try() { # the layer evil.tar above a.tar
			config conf "" a.tar evil.tar; docker_old image.tar conf a.tar evil.tar
			sb image import --replace x image.tar 2>&1 || true
			[ "$(cat $T/victim $T/outside/file)" = "safe
safe" ]
			[ "$(ls $T/outside)" = file ]
		}
		for name in out/.wh.file out/.wh..wh..opq up/.wh.file up/.wh..wh..opq "top$T/.wh.victim" "top/.wh..wh..opq" "up/new" "out/new" "top$T/new"; do
			tar -C evil -P --transform "s,^f\$,$name," -cf evil.tar f
			try
		done
		for name in .wh... .wh.. .wh. dir/.wh... loop/.wh.x loop/x ../.wh.victim; do
			tar -C evil -P --transform "s,^f\$,$name," -cf evil.tar f
			[[ $(try) == *"error 400"* ]]
		done
		# hard links: to what only the host has, through links, and to what a layer below has
		ln evil/f evil/g
		for target in $T/victim out/file top$T/victim ../../victim; do
			tar -C evil -P --transform "flags=h;s,^f\$,$target," \
				--transform "flags=r;s,^g\$,linked," -cf evil.tar f g 2>/dev/null
			tar -C evil -P --transform "flags=rh;s,^f\$,$target," --transform "flags=r;s,^g\$,linked," -cf evil.tar f g
			tar --delete -f evil.tar "$target" 2>/dev/null || true
			[[ $(try) == *"error 400"* ]]
		done
		# 3 GB of nothing, some kilobytes long, on a disk of 2
		truncate -s 3G evil/f; rm evil/g; tar -C evil -cf - f | gzip -1 >evil.tar.gz; rm evil/f
		[ "$(stat -c %s evil.tar.gz)" -lt 20000000 ]
		sb image rm x 2>/dev/null || true
		refused 500 "held back for others" sb image import x evil.tar.gz
		silent ls -A $images
		"$GUESTBOX" vsock-rpc --connect unix:$T/s --timeout 120 ping
	'
}
