#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# A LAMMPS with the KOKKOS package from Debian's packages alone, to build and test godiff/kk and mace/kk with: see
# usage() below.
set -eu

usage() {
  cat <<'EOF'
Usage: tools/kokkos_tier.sh make FOLDER       make FOLDER/root: Debian sid with LAMMPS, Kokkos, OpenMPI, LibTorch
       tools/kokkos_tier.sh in FOLDER COMMAND...  run COMMAND there, in the folder of the project
Needs root, Debian's debootstrap and a Debian mirror in /etc/apt. About 3 GB and, with 2 cores, 8 minutes.
A second call of make only looks whether all is there. Delete it with: rm -rf --one-file-system FOLDER
EOF
}

die() {
  printf 'kokkos_tier: %s\n' "$*" >&2
  exit 1
}

[ $# -ge 2 ] || {
  usage >&2
  exit 2
}
goal=$1
mkdir -p "$2" || die "cannot make the folder $2"
folder=$(CDPATH='' cd -- "$2" && pwd)
shift 2
root=$folder/root
project=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)

# Runs a command in $root, with the folders of the project and of this tier where they are here. The mounts are of a
# namespace of their own and end with the command. Threads that wait sleep: the cores are few.
inside() {
  mkdir -p "$root$project" "$root$folder"
  unshare --mount sh -c '
    root=$1 project=$2
    shift 2
    for d in proc sys dev; do mount --rbind "/$d" "$root/$d"; done
    mount --bind "$project" "$root$project"
    exec chroot "$root" /usr/bin/env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 \
      DEBIAN_FRONTEND=noninteractive OMP_PROC_BIND=false OMP_WAIT_POLICY=passive HWLOC_HIDE_ERRORS=2 \
      OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_memory=^patcher \
      PRTE_MCA_rmaps_default_mapping_policy=:oversubscribe \
      sh -c "cd \"\$0\" && exec \"\$@\"" "$project" "$@"' sh "$root" "$project" "$@"
}

if [ "$goal" = in ]; then
  [ -e "$root/opt/lammps/made" ] || die "there is no tier in $folder: run $0 make $folder"
  inside "$@"
  exit
fi
[ "$goal" = make ] || die "unknown goal '$goal': type make or in"
[ "$(id -u)" -eq 0 ] || die "a Debian in a folder can be made by root only"
[ ! -e "$root/opt/lammps/made" ] || exit 0

begin=$(date +%s)
step() { printf 'kokkos_tier: %s (after %s s)\n' "$*" $(($(date +%s) - begin)); }
# quietly NAME COMMAND...: its output goes into a log, whose end is shown when it fails.
quietly() {
  log=$folder/$1.log
  shift
  "$@" >"$log" 2>&1 </dev/null && return 0
  tail -n 12 "$log" >&2
  return 1
}

# --- Debian ------------------------------------------------------------------------------------

# The mirror that this machine uses, in either form of apt's lists.
mirror=$(cat /etc/apt/sources.list.d/debian.sources /etc/apt/sources.list 2>/dev/null |
  awk '/^URIs:/ { print $2; exit } /^deb / { for (i = 2; i <= NF; i++) if ($i ~ /:\/\//) { print $i; exit } }')
[ -n "$mirror" ] || die "no Debian mirror in /etc/apt/sources.list or sources.list.d/debian.sources"
if ! command -v debootstrap >/dev/null; then
  quietly apt-get apt-get update -qq || die "apt-get update failed"
  quietly apt-get apt-get install -y -qq debootstrap || die "debootstrap cannot be installed"
fi
step "Debian sid"
if [ ! -e "$root/made" ]; then
  rm -rf --one-file-system "$root"
  quietly debootstrap debootstrap --variant=minbase sid "$root" "$mirror" || die "debootstrap failed"
  umount "$root/proc" 2>/dev/null || true  # which debootstrap may have left
  touch "$root/made"
fi
cp /etc/resolv.conf /etc/hosts "$root/etc/"
printf 'deb %s sid main\ndeb-src %s sid main\n' "$mirror" "$mirror" >"$root/etc/apt/sources.list"
# A mirror that stands still has lists that have run out.
cat >"$root/etc/apt/apt.conf.d/90tier" <<'EOF'
Acquire::Check-Valid-Until "false";
Acquire::Check-Date "false";
APT::Install-Recommends "false";
APT::Sandbox::User "root";
EOF
echo force-unsafe-io >"$root/etc/dpkg/dpkg.cfg.d/unsafe-io"
printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"  # starts no services
chmod +x "$root/usr/sbin/policy-rc.d"

step "packages"
quietly apt-update inside apt-get update -qq || die "apt-get update failed in the tier"
# OpenMPI, as Debian's LibTorch is linked with it. One kind of OpenBLAS only, that of OpenMP: two do not mix.
quietly apt-install inside apt-get install -y -qq g++ cmake ninja-build libkokkos-dev libopenmpi-dev \
  openmpi-bin libgtest-dev libgmock-dev libyaml-dev pkgconf nlohmann-json3-dev python3-minimal \
  libtorch-dev libopenblas0-openmp || die "packages cannot be installed in the tier"
# The CMake files of Debian's Kokkos 5.2.2 name two libraries of headers alone, which it does not have.
inside sh -c 'cd /usr/lib/*-linux-gnu
  for l in algorithms simd; do [ -e libkokkos$l.a ] || [ -e libkokkos$l.so ] || ar rcs libkokkos$l.a; done'

# --- LAMMPS ------------------------------------------------------------------------------------

step "source of LAMMPS"
lammps=$root/opt/lammps
rm -rf "$lammps" && mkdir -p "$lammps"
# The description of the source package may be gone from a mirror while the source is there; apt compares
# the source with the signed list.
inside sh -c 'cd /opt/lammps && apt-get source -qq --download-only lammps' >"$folder/source.log" 2>&1 || true
source=$(find "$lammps" -name 'lammps_*.orig.tar.*' | sort | tail -n 1)
[ -n "$source" ] || die "the source of LAMMPS cannot be had from $mirror: see $folder/source.log"
tar -xf "$source" -C "$lammps" src cmake lib third_party unittest LICENSE potentials/Pt_u3.eam
rm -f "$lammps"/lammps_*
# Styles whose header is missing are not built. What is left is what the tests use.
keep=" kokkos atom_kokkos atom_map_kokkos atom_vec_kokkos atom_vec_atomic_kokkos atom_vec_charge_kokkos
comm_kokkos comm_tiled_kokkos compute_temp_kokkos domain_kokkos fix_minimize_kokkos fix_momentum_kokkos
fix_neigh_history_kokkos fix_nh_kokkos fix_nh_sphere_kokkos fix_nve_kokkos fix_nvt_kokkos
fix_property_atom_kokkos fix_setforce_kokkos math_special_kokkos min_cg_kokkos min_kokkos
min_linesearch_kokkos modify_kokkos nbin_kokkos neigh_bond_kokkos neigh_list_kokkos neighbor_kokkos
npair_copy_kokkos npair_halffull_kokkos npair_kokkos npair_skip_kokkos npair_trim_kokkos
pair_eam_alloy_kokkos pair_eam_kokkos pair_hybrid_kokkos pair_hybrid_overlay_kokkos pair_lj_cut_kokkos
rand_pool_wrap_kokkos region_block_kokkos tune_kokkos verlet_kokkos "
keep=$(echo $keep)
for file in "$lammps"/src/KOKKOS/*_kokkos.cpp; do
  name=$(basename "$file" .cpp)
  case " $keep " in *" $name "*) ;; *) rm -f "${file%.cpp}.cpp" "${file%.cpp}.h" ;; esac
done
for file in "$lammps"/src/MANYBODY/*.cpp; do
  case $(basename "$file") in
    pair_eam.cpp | pair_eam_alloy.cpp | pair_eam_fs.cpp) ;;
    *) rm -f "${file%.cpp}.cpp" "${file%.cpp}.h" ;;
  esac
done
# One precompiled header for the whole library, without a change to LAMMPS.
cat >"$lammps/pch.cmake" <<'EOF'
cmake_language(DEFER DIRECTORY ${CMAKE_SOURCE_DIR} CALL target_precompile_headers lammps PRIVATE
  <string> <vector> <map> <set> <unordered_map> <algorithm> <cmath> <cstring> <functional> <memory> <mpi.h>
  <Kokkos_Core.hpp> <Kokkos_DualView.hpp> <Kokkos_ScatterView.hpp> <Kokkos_UnorderedMap.hpp> <Kokkos_Sort.hpp>)
EOF

step "LAMMPS"
quietly configure inside cmake -S /opt/lammps/cmake -B /opt/lammps/build -G Ninja -D CMAKE_BUILD_TYPE=None \
  -D CMAKE_CXX_FLAGS="-O1 -w" -D CMAKE_CXX_STANDARD=20 -D BUILD_SHARED_LIBS=on -D BUILD_MPI=on \
  -D BUILD_OMP=on -D PKG_KOKKOS=on -D EXTERNAL_KOKKOS=on -D Kokkos_ENABLE_OPENMP=on -D PKG_PLUGIN=on \
  -D PKG_MANYBODY=on -D WITH_GZIP=off -D WITH_JPEG=off -D WITH_PNG=off -D WITH_FFMPEG=off \
  -D DOWNLOAD_POTENTIALS=off -D CMAKE_PROJECT_INCLUDE=/opt/lammps/pch.cmake ||
  die "LAMMPS cannot be configured in the tier"
quietly build inside ninja -C /opt/lammps/build || die "LAMMPS cannot be built in the tier"
inside sh -c 'find /opt/lammps/build -name "*.o" -delete; find /opt/lammps/build -name "*.gch" -delete
  dpkg-query -W -f "\${Package} \${Version}\n" g++ libkokkos-dev libopenmpi-dev libtorch-dev'
printf '%s\n' "$source" >"$lammps/made"
step "done"
