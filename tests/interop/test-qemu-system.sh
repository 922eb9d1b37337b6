#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A guest boots from an export: read-only, with a qcow2 overlay on top for what
# the guest writes, as one tries out a backup. Under emulation: a stock kernel,
# and a root file system of a few files that is served.
. "$(dirname "$0")/functions.sh"
requires qemu-system-x86_64 qemu-img busybox cpio xz
for program in mke2fs modprobe debugfs; do
    [ -x /usr/sbin/$program ] || requires $program
done
PATH=$PATH:/usr/sbin
busybox=$(command -v busybox)
! ldd "$busybox" >/dev/null 2>&1 || skip "busybox is not a static one"
kernel=$("$here/../vm/kernels" | tail -n 1)
[ -n "$kernel" ] || skip "no stock kernel is installed"

# The root file system: its init reads, writes, and powers off.
mkdir -p root/{bin,sbin,proc,dev}
cp "$busybox" root/bin/busybox
head -c 5000000 /dev/urandom >root/question
cat >root/sbin/init <<'END'
#!/bin/busybox sh
exec >/dev/console 2>&1
/bin/busybox mount -t proc proc /proc
echo "guest: $(/bin/busybox sha256sum </question)"
/bin/busybox rev </proc/sys/kernel/osrelease >/answer
/bin/busybox dd if=/question of=/copy bs=64k
/bin/busybox sync
/bin/busybox mount -o remount,ro /
echo 'guest: done'
/bin/busybox poweroff -f
END
chmod +x root/sbin/init
truncate -s 64M disk.raw
mke2fs -q -F -t ext4 -d root disk.raw

# What gets it mounted.
mkdir -p early/{bin,dev,new,modules}
cp "$busybox" early/bin/busybox
for module in virtio_pci virtio_blk ext4; do
    modprobe -S "$kernel" --show-depends $module || skip "no module $module"
done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }' >modules
while read -r file; do
    name=$(basename "${file%.xz}")
    if [[ $file == *.xz ]]; then
        xz -dc "$file" >"early/modules/$name"
    else
        cp "$file" "early/modules/$name"
    fi
    echo "/bin/busybox insmod /modules/$name"
done <modules >insert
{
    echo '#!/bin/busybox sh'
    echo '/bin/busybox mount -t devtmpfs dev /dev'
    cat insert
    echo 'until /bin/busybox mount -t ext4 /dev/vda /new; do /bin/busybox sleep 0.2; done'
    echo '/bin/busybox mount -t devtmpfs dev /new/dev'
    echo 'exec /bin/busybox switch_root /new /sbin/init'
} >early/init
chmod +x early/init
(cd early && find . | cpio --quiet -o -H newc -R 0:0) >initramfs

sha256sum disk.raw >before
serve
qemu-img create -q -f qcow2 -F raw -b "nbd+unix:///disk?socket=$PWD/socket" overlay.qcow2

boot() {
    qemu-system-x86_64 -nodefaults -no-user-config -display none \
        -no-reboot -accel tcg,thread=single -cpu max,la57=off -m 256 -smp 1 \
        -kernel "/boot/vmlinuz-$kernel" -initrd initramfs \
        -append 'console=ttyS0 quiet no_timer_check panic=-1' -serial stdio \
        -drive "file=overlay.qcow2,format=qcow2,if=virtio" </dev/null >console 2>&1 ||
        fail "QEMU ended with $?: $(tail -20 console)"
}
boot
says console "guest: $(sha256sum <root/question)"
says console 'guest: done'

# What it wrote is in the overlay, and what it read was not touched.
sha256sum --quiet -c before || fail "the guest wrote to what is served"
qemu-img convert -f qcow2 -O raw overlay.qcow2 flat.raw
debugfs -R 'cat /answer' flat.raw 2>err | rev >answer
[ "$(cat answer)" = "$kernel" ] || fail "the guest's answer: $(cat answer err)"
debugfs -R 'dump /copy copy' flat.raw 2>err
cmp copy root/question || fail "the guest's copy"
