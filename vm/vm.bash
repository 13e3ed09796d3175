# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# One virtual machine under QEMU: ./boot-demo, vm/run and the VM tests source this.
#
# Set what should differ from the defaults below, call vm_start, and have vm_stop run on every way out
# (a trap, or teardown_file of bats). Functions answer 0 or not; what failed is one line on stderr.

vm_home=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
vm_source=$(dirname "$vm_home")

vm_defaults()
{
	VM_GUESTBOX=${GUESTBOX:-} # a static guestbox: in the initramfs, and on the host for vsock-rpc
	VM_CACHE=${GUESTBOX_VM_CACHE:-$vm_source/build/vm}
	VM_KERNEL=''              # a kernel file; empty: Debian's cloud kernel
	VM_MODULES=''             # the modules that belong to VM_KERNEL
	VM_ARCH=x86_64            # or aarch64, which is emulated, and needs VM_KERNEL, VM_MODULES and VM_GUESTBOX_HERE
	VM_GUESTBOX_HERE=''       # a guestbox that runs here, where VM_GUESTBOX does not
	VM_INITRD=''              # an initramfs; empty: init/mkinitramfs makes one
	VM_INITRD_OPTIONS=()      # more options for init/mkinitramfs
	VM_MEMORY=1G
	VM_CPUS=2
	VM_ACCEL=auto             # kvm, tcg or auto
	VM_TRANSPORT=auto         # vsock, vhost-user, virtio-serial, none or auto
	VM_DISKS=()               # image files, in order: vda, vdb...
	VM_PMEMS=()             # image files: pmem0, pmem1...
	VM_SHARES=()              # TAG=FOLDER
	VM_PORTS=()               # more virtio-serial ports; port NAME is the socket $VM_DIR/NAME
	VM_APPEND=()              # words for the kernel command line
	VM_QEMU=()                # more arguments for QEMU
	VM_DOCKER=''              # 1: the guest's Docker port is the host's socket $VM_DIR/docker.sock: vm_docker
	VM_CONSOLE=''             # 1: the serial console is this terminal, and in the log all the same
}
vm_defaults

# What vm_start fills in: VM_DIR (with console.log, qemu.log), VM_PID, VM_ACCEL_USED, VM_TRANSPORT_USED,
# VM_RPC (an address for vsock-rpc --connect; empty when the transport is none).
VM_DIR='' VM_PID='' VM_HELPERS=()
VM_ACCEL_USED='' VM_TRANSPORT_USED='' VM_RPC='' VM_CID=''
vm_terminal='' # how the terminal was set before it became the guest's console

vm_error()
{
	echo "vm: $*" >&2
	return 1
}

# Prints the first of the paths or names that is a program.
vm_program()
{
	local name
	for name; do
		PATH=$PATH:/usr/sbin:/sbin command -v "$name" && return
	done
	return 1
}

# What this shell starts ends with it, kill -9 included.
vm_tied()
{
	exec setpriv --pdeathsig KILL "$@"
}

# Sets VM_KERNEL and VM_MODULES where they are empty.
vm_find_kernel()
{
	local found
	if [ -n "$VM_KERNEL" ]; then
		[ -r "$VM_KERNEL" ] || vm_error "kernel $VM_KERNEL: no such file, or not readable" || return
		[ -n "$VM_INITRD" ] || [ -n "$VM_MODULES" ] ||
			vm_error "kernel $VM_KERNEL: its modules are needed, too (--modules)"
		return
	fi
	found=$("$vm_home/kernel" "$VM_CACHE/kernel") || return
	VM_KERNEL=${found%%$'\n'*}
	VM_MODULES=${VM_MODULES:-${found##*$'\n'}}
}

# Sets VM_INITRD where it is empty.
vm_make_initrd()
{
	[ -z "$VM_INITRD" ] || return 0
	[ -n "$VM_GUESTBOX" ] || vm_error "initramfs: which guestbox? (--guestbox, or GUESTBOX)" || return
	"$vm_source/init/mkinitramfs" --guestbox "$VM_GUESTBOX" --modules "$VM_MODULES" \
		-o "$VM_DIR/initramfs" "${VM_INITRD_OPTIONS[@]}" || return
	VM_INITRD=$VM_DIR/initramfs
}

# Whether a kernel prints under KVM here. /dev/kvm may be there, open, and still hang a stock kernel at its
# first instruction (nested virtualisation does that), so only a kernel that was seen to print counts.
# The answer is kept per host kernel, QEMU and guest kernel.
vm_kvm_works()
{
	local key kept answer=no
	[ "$VM_ARCH" = x86_64 ] && [ -c /dev/kvm ] && [ -r /dev/kvm ] && [ -w /dev/kvm ] || return 1
	key="$(uname -r) $(qemu-system-x86_64 --version | head -n 1) $VM_KERNEL"
	kept=$VM_CACHE/kvm
	mkdir -p "$VM_CACHE"
	if [ -r "$kept" ] && [ "$(sed -n 1p "$kept")" = "$key" ]; then
		[ "$(sed -n 2p "$kept")" = yes ]
		return
	fi
	! vm_kvm_probe "$VM_DIR/kvm-probe.log" || answer=yes
	printf '%s\n%s\n' "$key" "$answer" >"$kept.$$" && mv "$kept.$$" "$kept"
	[ "$answer" = yes ]
}

# Boots the kernel under KVM for up to 3 s; true when it prints. In a subshell, which keeps to itself how
# QEMU ended.
vm_kvm_probe()
(
	exec 2>/dev/null
	: >"$1"
	(vm_tied qemu-system-x86_64 -no-user-config -nodefaults -display none -M q35,accel=kvm -cpu host \
		-m 256M -no-reboot -kernel "$VM_KERNEL" -append 'console=ttyS0 earlyprintk=ttyS0 panic=-1' \
		-serial "file:$1") >"$1.qemu" 2>&1 </dev/null 3>&- &
	for ((tries = 0; tries < 30; tries++)); do
		! grep -qs 'Linux version' "$1" || break
		kill -0 $! || break
		sleep 0.1
	done
	kill -KILL $!
	wait $!
	grep -qs 'Linux version' "$1"
)

vm_choose_accel()
{
	VM_ACCEL_USED=$VM_ACCEL
	case $VM_ACCEL in
	kvm | tcg) ;;
	auto) if vm_kvm_works; then VM_ACCEL_USED=kvm; else VM_ACCEL_USED=tcg; fi ;;
	*) vm_error "accelerator $VM_ACCEL: not kvm, tcg or auto" ;;
	esac
}

vm_choose_transport()
{
	VM_TRANSPORT_USED=$VM_TRANSPORT
	case $VM_TRANSPORT in
	vsock | vhost-user | virtio-serial | none) ;;
	auto)
		if [ -r /dev/vhost-vsock ] && [ -w /dev/vhost-vsock ]; then
			VM_TRANSPORT_USED=vsock
		elif vm_program vhost-device-vsock >/dev/null; then
			VM_TRANSPORT_USED=vhost-user
		else
			VM_TRANSPORT_USED=virtio-serial
		fi
		;;
	*) vm_error "transport $VM_TRANSPORT: not vsock, vhost-user, virtio-serial, none or auto" ;;
	esac
}

# Waits for socket $1 of helper process $2.
vm_wait_socket()
{
	local tries
	for ((tries = 0; tries < 1200; tries++)); do
		[ ! -S "$1" ] || return 0
		kill -0 "$2" 2>/dev/null || return 1
		sleep 0.05
	done
	return 1
}

# Starts a program beside QEMU: vm_helper NAME SOCKET COMMAND...
vm_helper()
{
	local name=$1 socket=$2
	shift 2
	(vm_tied "$@") >"$VM_DIR/$name.log" 2>&1 </dev/null 3>&- &
	VM_HELPERS+=($!)
	vm_wait_socket "$socket" $! && return
	vm_error "$name: did not start: $(tail -n 1 "$VM_DIR/$name.log")"
}

# Starts the machine; on a failure everything is undone.
vm_start()
{
	[ -z "$VM_DIR" ] || vm_error "a machine is running already, in $VM_DIR" || return
	vm_program "qemu-system-$VM_ARCH" >/dev/null ||
		vm_error "qemu-system-$VM_ARCH: not found: tools/install-deps vm (or arm64) installs it" || return
	VM_DIR=$(mktemp -d "${TMPDIR:-/tmp}/guestbox-vm.XXXXXX") || return
	vm_find_kernel && vm_make_initrd && vm_choose_accel && vm_choose_transport && vm_launch && return
	vm_stop
	return 1
}

# How fast an emulated x86's time stamp counter goes, for the kernel's command line: QEMU shows this machine's own, of whose
# cycles bogomips in /proc/cpuinfo counts two. A kernel that measures it on a busy host may find a sixth ("PIT calibration
# deviates from HPET"), and with clocksource=tsc all of its time-outs end six times too early.
vm_counter()
{
	[ "$VM_ACCEL_USED $VM_ARCH $(uname -m)" = 'tcg x86_64 x86_64' ] || return 0
	awk -F: '$1 ~ /^flags/ && / constant_tsc / { constant = 1 } $1 ~ /^bogomips/ { khz = $2 * 500 }
		END { if (constant && khz > 0) printf " tsc_early_khz=%d", khz }' /proc/cpuinfo
}

vm_launch()
{
	local args disk share tag folder port number cpu=max,-erms,-fsrm machine=q35 accel=$VM_ACCEL_USED tty=ttyS0 daemon alone=()
	args=(-no-user-config -nodefaults -display none -no-reboot -name guestbox)
	# All processors of an emulated x86 take turns in one thread. With a thread each, one that meets an instruction
	# while another patches it (a static key, jump_label.rst) may run into the int3 that was there for ever: tests/vm/boot.
	[ "$accel" != tcg ] || accel=tcg,thread=single
	[ "$VM_ACCEL_USED" = tcg ] || cpu=host
	[ "$VM_ARCH" = x86_64 ] || { cpu=cortex-a72 machine=virt accel=tcg tty=ttyAMA0; }
	args+=(-M "$machine,memory-backend=ram" -accel "$accel")
	# With `max` the guest has RDRAND; without it, or virtio-rng, its first random bytes take seconds. The emulator
	# does `rep stosb` a byte at a time: without erms the kernel clears its pages in words.
	args+=(-cpu "$cpu" -smp "$VM_CPUS")
	args+=(-object "rng-random,id=rng,filename=/dev/urandom" -device "virtio-rng-pci,rng=rng")
	# vhost-user devices read and write the guest's memory, so it has to be shared.
	args+=(-object "memory-backend-memfd,id=ram,size=$VM_MEMORY,share=on")
	args+=(-m "$VM_MEMORY$([ ${#VM_PMEMS[@]} -eq 0 ] || echo ,maxmem=64G)")
	args+=(-kernel "$VM_KERNEL" -initrd "$VM_INITRD")
	# On a busy host the kernel may take QEMU's timer for a broken one, and panic (check_timer() in io_apic.c).
	args+=(-append "no_timer_check console=$tty loglevel=5 panic=-1$(vm_counter) ${VM_APPEND[*]}")
	: >"$VM_DIR/console.log"
	if [ -n "$VM_CONSOLE" ]; then
		vm_terminal=$(stty -g) || return
		args+=(-chardev "stdio,id=console,signal=off,mux=on,logfile=$VM_DIR/console.log")
	else
		# Whoever wants to type on it connects to the socket; what is printed is in the log either way.
		args+=(-chardev "socket,id=console,path=$VM_DIR/console,server=on,wait=off,logfile=$VM_DIR/console.log")
	fi
	args+=(-serial chardev:console)

	number=0
	for disk in "${VM_DISKS[@]}"; do
		[ -r "$disk" ] || vm_error "disk $disk: no such file, or not readable" || return
		args+=(-drive "file=$disk,if=none,id=disk$number,format=raw,cache=writeback,discard=unmap")
		args+=(-device "virtio-blk-pci,drive=disk$number,serial=disk$number")
		number=$((number + 1))
	done
	number=0
	for disk in "${VM_PMEMS[@]}"; do
		[ -r "$disk" ] || vm_error "pmem $disk: no such file, or not readable" || return
		args+=(-object "memory-backend-file,id=pmem$number,mem-path=$disk,share=on,size=$(stat -c %s "$disk")")
		args+=(-device "virtio-pmem-pci,memdev=pmem$number,id=virtio-pmem$number")
		number=$((number + 1))
	done

	number=0
	for share in "${VM_SHARES[@]}"; do
		tag=${share%%=*} folder=${share#*=}
		[ -d "$folder" ] || vm_error "share $tag: $folder: no such folder" || return
		daemon=$(vm_program /usr/lib/qemu/virtiofsd /usr/libexec/virtiofsd virtiofsd) ||
			vm_error "share $tag: virtiofsd: not found: tools/install-deps vm installs it" || return
		vm_helper "virtiofsd-$tag" "$VM_DIR/fs$number" "$daemon" "--socket-path=$VM_DIR/fs$number" \
			-o "source=$(cd "$folder" && pwd -P)" -o cache=auto || return
		args+=(-chardev "socket,id=fs$number,path=$VM_DIR/fs$number")
		args+=(-device "vhost-user-fs-pci,chardev=fs$number,tag=$tag,queue-size=1024")
		number=$((number + 1))
	done

	VM_CID=$((BASHPID % 1000000 + 1000))
	case $VM_TRANSPORT_USED in
	vsock)
		args+=(-device "vhost-vsock-pci,guest-cid=$VM_CID")
		VM_RPC=vsock:$VM_CID:1024
		;;
	vhost-user)
		vm_helper vhost-device-vsock "$VM_DIR/vsock" vhost-device-vsock \
			--vm "guest-cid=$VM_CID,socket=$VM_DIR/vsock,uds-path=$VM_DIR/vsock.uds" || return
		args+=(-chardev "socket,id=vsock,path=$VM_DIR/vsock" -device "vhost-user-vsock-pci,chardev=vsock")
		VM_RPC=fc:$VM_DIR/vsock.uds:1024
		;;
	virtio-serial)
		VM_RPC=unix:$VM_DIR/org.guestbox.rpc.0
		;;
	none) VM_RPC='' ;;
	esac
	number=0
	for port in $([ "$VM_TRANSPORT_USED" != virtio-serial ] || echo org.guestbox.rpc.0) "${VM_PORTS[@]}"; do
		[ $number -ne 0 ] || args+=(-device virtio-serial-pci)
		args+=(-chardev "socket,id=port$number,path=$VM_DIR/$port,server=on,wait=off")
		args+=(-device "virtserialport,chardev=port$number,name=$port")
		number=$((number + 1))
	done

	# QEMU's forwarded port is open to all of its network namespace: nobody else is in there.
	if [ -n "$VM_DOCKER" ] && [ "$VM_TRANSPORT_USED" != vsock ]; then
		args+=(-netdev "user,id=docker,restrict=on,hostfwd=tcp:127.0.0.1:2375-10.0.2.15:2375")
		args+=(-device "virtio-net-pci,netdev=docker")
		alone=(unshare --net busybox sh -c 'busybox ip link set lo up && exec "$@"' qemu)
	fi

	# The last of the sockets, in whose order QEMU makes them: when it is there all are, and somebody listens.
	args+=(-qmp "unix:$VM_DIR/qmp,server=on,wait=off")
	printf '%q ' "qemu-system-$VM_ARCH" "${args[@]}" "${VM_QEMU[@]}" >"$VM_DIR/command"
	if [ -n "$VM_CONSOLE" ]; then
		(vm_tied "${alone[@]}" "qemu-system-$VM_ARCH" "${args[@]}" "${VM_QEMU[@]}") 2>"$VM_DIR/qemu.log" <&0 3>&- &
	else
		(vm_tied "${alone[@]}" "qemu-system-$VM_ARCH" "${args[@]}" "${VM_QEMU[@]}") >"$VM_DIR/qemu.log" 2>&1 </dev/null 3>&- &
	fi
	VM_PID=$!
	vm_wait_socket "$VM_DIR/qmp" "$VM_PID" ||
		vm_error "qemu-system-$VM_ARCH: did not start: $(tail -n 1 "$VM_DIR/qemu.log")" || return
	[ -z "$VM_DOCKER" ] || vm_docker_socket
}

# Makes a machine that runs containers of folder $1, which vm/docker has made; before vm_start. Its /arcbox is
# $1/share, unless VM_SHARES has another one.
#
# A host with vsock reaches the guest's Docker port as it is. QEMU's user networking only carries TCP: there, a socat
# in the guest stands between the forwarded port, for QEMU's own address, and the same vsock port over loopback.
vm_docker()
{
	VM_DOCKER=1
	case " ${VM_SHARES[*]}" in
	*' arcbox='*) ;;
	*) VM_SHARES+=("arcbox=$1/share") ;;
	esac
	[ "$VM_MEMORY" != 1G ] || VM_MEMORY=2G # the default; what somebody has set is theirs
	VM_INITRD_OPTIONS+=(--more-modules "$vm_source/init/modules.docker"
		--program "$(vm_program socat)" --add "$vm_home/docker-guest:/lib/guestbox/docker-guest")
	VM_APPEND+=(guestbox.root=tmpfs guestbox.run=/lib/guestbox/docker-guest)
	# Programs in Go ask for the time all the time, which an emulated HPET answers slowly; and clear huge pages.
	VM_APPEND+=(clocksource=tsc tsc=reliable transparent_hugepage=never)
	vm_choose_transport || return
	[ "$VM_TRANSPORT_USED" = vsock ] || VM_APPEND+=(guestbox.rpcd=--allow-cid=1 guestbox.rpcd=--allow-cid=2
		ip=10.0.2.15::10.0.2.2:255.255.255.0::eth0:off)
}

# $VM_DIR/docker.sock. -t: a side that has said all may wait for the answer as long as that takes.
vm_docker_socket()
{
	local to=TCP:127.0.0.1:2375 where=(nsenter --net --target "$VM_PID")
	[ "$VM_TRANSPORT_USED" != vsock ] || { to=VSOCK-CONNECT:$VM_CID:2375 where=(); }
	vm_helper docker "$VM_DIR/docker.sock" "${where[@]}" socat -t 86400 \
		"UNIX-LISTEN:$VM_DIR/docker.sock,mode=600,fork,backlog=128" "$to"
}

vm_alive()
{
	[ -n "$VM_PID" ] && kill -0 "$VM_PID" 2>/dev/null
}

# Waits until the console shows a line of the regular expression $1, for at most $2 seconds; prints that line.
vm_wait_console()
{
	local end=$((SECONDS + $2))
	until tr -d '\r' <"$VM_DIR/console.log" | grep -E -m 1 -- "$1"; do
		vm_alive || { tr -d '\r' <"$VM_DIR/console.log" | grep -E -m 1 -- "$1" && return; }
		vm_alive || vm_error "the guest ended before its console showed '$1'$(vm_last_words)" || return
		[ $SECONDS -lt $end ] || vm_error "the console did not show '$1' within $2 s" || return
		sleep 0.05
	done
}

# What QEMU had to say at its end, if anything.
vm_last_words()
{
	[ ! -s "$VM_DIR/qemu.log" ] || printf ': %s' "$(tail -n 1 "$VM_DIR/qemu.log")"
}

# The last $1 lines of the console.
vm_console_tail()
{
	tr -d '\r' <"$VM_DIR/console.log" | tail -n "$1" | sed 's/^/  | /'
}

# Waits until the machine is off, for at most $1 seconds.
vm_wait_off()
{
	local end=$((SECONDS + $1))
	while vm_alive; do
		[ $SECONDS -lt $end ] || vm_error "the guest did not power off within $1 s" || return
		sleep 0.05
	done
}

# Sends one QMP command (JSON) and prints QEMU's answer to it, the second (the first is to the capabilities); events may
# come in between, and to save a machine takes its time.
vm_qmp()
{
	local line='' answers=0
	coproc qmp { exec socat - "UNIX-CONNECT:$VM_DIR/qmp" 3>&-; }
	# shellcheck disable=SC2154 # coproc sets qmp_PID
	local pid=$qmp_PID
	printf '%s\n' '{"execute":"qmp_capabilities"}' "$1" >&"${qmp[1]}"
	while [ $answers -lt 2 ] && IFS= read -r -t 240 line <&"${qmp[0]}"; do
		case $line in *'"return"'* | *'"error"'*) answers=$((answers + 1)) ;; esac
	done
	kill "$pid" 2>/dev/null || true
	{ wait "$pid"; } 2>/dev/null || true
	echo "$line"
}

# vsock-rpc from the host, over whichever transport the machine has; $VM_RPC_PATIENCE are seconds in place of its own 30.
vm_rpc()
{
	"${VM_GUESTBOX_HERE:-$VM_GUESTBOX}" vsock-rpc --connect "$VM_RPC" --timeout "${VM_RPC_PATIENCE:-30}" "$@"
}

# Waits until the daemon answers, for at most $1 seconds.
vm_wait_rpc()
{
	local end=$((SECONDS + $1)) answer
	until answer=$(vm_rpc --timeout 2 ping 2>&1); do
		vm_alive || vm_error "the guest ended before its daemon answered$(vm_last_words)" || return
		[ $SECONDS -lt $end ] || vm_error "the daemon did not answer within $1 s: ${answer##*$'\n'}" || return
		sleep 0.1
	done
}

# The boot's steps, a line each: milliseconds since the kernel's start, milliseconds that it took, name,
# and how it failed where it did.
vm_steps()
{
	tr -d '\r' <"$VM_DIR/console.log" |
		sed -n -E 's/.*\[ *([0-9]+)\.([0-9]{6})\] guestbox: step ([^:]*): (done|failed.*)$/\1 \2 \3: \4/p' |
		awk '{ now = $1 * 1000 + $2 / 1000; sub(/^[^ ]+ [^ ]+ /, ""); sub(/: done$/, "")
			printf "%.1f %.1f %s\n", now, now - last, $0; last = now }'
}

# Whether process $1 ends within $2 tenths of a second.
vm_gone()
{
	local tries
	for ((tries = 0; tries < $2; tries++)); do
		kill -0 "$1" 2>/dev/null || return 0
		sleep 0.1
	done
	return 1
}

# Ends the machine and all that was started for it, and removes its folder. May be called twice, and with
# `set -e` on: what it ends may be gone already.
vm_stop()
{
	local pid
	[ -z "$VM_PID" ] || kill -TERM "$VM_PID" 2>/dev/null || true
	for pid in $VM_PID "${VM_HELPERS[@]}"; do
		# The helpers end by themselves once QEMU has left them, and collect their own children.
		vm_gone "$pid" 20 || kill -TERM "$pid" 2>/dev/null || true
		vm_gone "$pid" 20 || kill -KILL "$pid" 2>/dev/null || true
		{ wait "$pid"; } 2>/dev/null || true
	done
	[ -z "$vm_terminal" ] || stty "$vm_terminal" || true
	[ -z "$VM_DIR" ] || rm -rf "$VM_DIR"
	VM_DIR='' VM_PID='' VM_HELPERS=() VM_RPC='' vm_terminal=''
}
