#!/bin/sh
# Make the environment: environment.sh FOLDER STAMP [PYTHON [LOCK]]
# FOLDER becomes a virtual environment with exactly the packages of LOCK, else of requirements.lock.
# STAMP is written last, so that an interrupted run is begun again.
set -eu
folder=$1 stamp=$2 wish=${3:-} lock=${4:-requirements.lock}

problem=
for python in ${wish:-python3.13 python3.12 python3.11 python3 python}; do
    version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || continue
    case $version in
    3.11 | 3.12 | 3.13)
        if "$python" -c 'import ensurepip, venv' 2>/dev/null; then
            found=$python
            break
        fi
        problem="$python has no venv: install it, on Debian or Ubuntu with: apt-get install python$version-venv"
        ;;
    *)
        problem=${problem:-"$python is Python $version, the book needs 3.11, 3.12 or 3.13: install one, on Debian or Ubuntu with: apt-get install python3.11 python3.11-venv"}
        ;;
    esac
done
if [ -z "${found:-}" ]; then
    missing="no ${wish:-Python} found, the book needs Python 3.11, 3.12 or 3.13: install one, on Debian or Ubuntu with: apt-get install python3 python3-venv"
    echo "environment: ${problem:-$missing}" >&2
    exit 1
fi

echo "environment: $folder from $found, this may take some minutes" >&2
"$found" -m venv --clear "$folder"
pip="$folder/bin/python -m pip --disable-pip-version-check install --quiet --require-hashes"
# uv, itself from the lock, installs three times as fast. Where it has no wheel, or packages come from
# where only pip was told, pip does it all. Both take wheels only: the lock says so.
awk '/^uv==/ { found = 1 } found { print; if (!/\\$/) exit }' requirements.lock >"$folder/uv.lock"
if ! { $pip --only-binary :all: -r "$folder/uv.lock" &&
    "$folder/bin/uv" pip install --quiet --python "$folder/bin/python" \
        --require-hashes -r "$lock"; } 2>/dev/null && ! $pip -r "$lock"; then
    echo "environment: pip could not install $lock, its reason is above" >&2
    exit 1
fi
touch "$stamp"
