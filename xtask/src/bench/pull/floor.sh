# The floor of a pull: blobs fetched, both digests taken, layers unpacked, two at a time, everything flushed once.
# Arguments: pull or remove, a directory, REGISTRY/NAME:TAG. For itself: layer, a directory, the registry's address, a digest.
set -eu -o pipefail
what=$1 directory=$2

layer() {
    local tree=$directory/${2#sha256:} decompress='igzip -dc'
    mkdir "$tree"
    cd "$tree"
    curl --silent --fail --output ../"$2" "$1/blobs/$2"
    [ "$(head -c 4 ../"$2" | od -An -tx1)" != ' 28 b5 2f fd' ] || decompress='zstd -qdc'
    openssl dgst -sha256 ../"$2" >../"$2.digest" &
    # Two readers of one stream: the digest, and tar.
    $decompress ../"$2" | tee >(openssl dgst -sha256 >../"$2.diff-id") | tar -x
    wait
}

case $what in
pull)
    registry=http://${3%%/*}/v2/${3#*/}
    registry=${registry%:*}
    mkdir "$directory"
    accept='Accept: application/vnd.oci.image.manifest.v1+json'
    # The configuration comes first, then the layers.
    curl --silent --fail -H "$accept" "$registry/manifests/latest" | grep -o 'sha256:[0-9a-f]*' | tail -n +2 |
        xargs -P 2 -I '{}' bash "$0" layer "$directory" "$registry" '{}'
    sync -f "$directory"
    ;;
layer) layer "$3" "$4" ;;
remove) rm -rf "$directory" ;;
esac
