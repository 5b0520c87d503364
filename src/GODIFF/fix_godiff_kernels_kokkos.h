// SPDX-License-Identifier: GPL-2.0-only
// What fix godiff/kk does with the atoms on the device, atom by atom.
#ifndef LMP_FIX_GODIFF_KERNELS_KOKKOS_H
#define LMP_FIX_GODIFF_KERNELS_KOKKOS_H

#include "kokkos_type.h"

namespace LAMMPS_NS {
namespace GODiff {

/// Finds an atom by its ID among those of the structure.
template <class DeviceType> struct FindAtom {
  using AT = ArrayTypes<DeviceType>;
  typename AT::t_tagint_1d sorted_ids;
  typename AT::t_int_1d sorted_index;

  /// Place among the sorted IDs, -1 for an atom that is not of the structure.
  KOKKOS_INLINE_FUNCTION int place(tagint id) const {
    int begin = 0, end = static_cast<int>(sorted_ids.extent(0));
    while (begin < end) {
      const int middle = begin + (end - begin) / 2;
      if (sorted_ids(middle) < id)
        begin = middle + 1;
      else
        end = middle;
    }
    return begin < static_cast<int>(sorted_ids.extent(0)) && sorted_ids(begin) == id ? begin : -1;
  }

  /// Index in the order of the structure, -1 for an atom that is not of it.
  KOKKOS_INLINE_FUNCTION int index(tagint id) const {
    const int k = place(id);
    return k < 0 ? -1 : sorted_index(k);
  }
};

/// Puts the structure into the atoms; reduces to the highest ID that is not of it, 0 if there is none.
template <class DeviceType> struct PlaceAtoms {
  using AT = ArrayTypes<DeviceType>;
  FindAtom<DeviceType> find;
  typename AT::t_double_1d_3_lr template_x, mobile_x;
  typename AT::t_imageint_1d images;
  typename AT::t_tagint_1d tag;
  typename AT::t_kkfloat_1d_3_lr x;
  typename AT::t_kkfloat_1d_3 v;
  typename AT::t_imageint_1d image;

  KOKKOS_INLINE_FUNCTION void operator()(int i, tagint &unknown) const {
    const int k = find.index(tag(i));
    if (k < 0) {
      if (tag(i) > unknown)
        unknown = tag(i);
      return;
    }
    const int n_template = static_cast<int>(template_x.extent(0));
    for (int d = 0; d < 3; ++d)
      x(i, d) =
          static_cast<KK_FLOAT>(k < n_template ? template_x(k, d) : mobile_x(k - n_template, d));
    image(i) = images(k);
    if (k >= n_template)
      for (int d = 0; d < 3; ++d)
        v(i, d) = 0;
  }
};

/// Copies positions to where they travel with the atoms.
template <class DeviceType> struct KeepPositions {
  using AT = ArrayTypes<DeviceType>;
  typename AT::t_kkfloat_1d_3_lr x;
  typename AT::t_double_1d_3_lr destination;

  KOKKOS_INLINE_FUNCTION void operator()(int i) const {
    for (int d = 0; d < 3; ++d)
      destination(i, d) = x(i, d);
  }
};

/// Takes positions back from there.
template <class DeviceType> struct RestorePositions {
  using AT = ArrayTypes<DeviceType>;
  typename AT::t_kkfloat_1d_3_lr x;
  typename AT::t_double_1d_3_lr destination;

  KOKKOS_INLINE_FUNCTION void operator()(int i) const {
    for (int d = 0; d < 3; ++d)
      x(i, d) = static_cast<KK_FLOAT>(destination(i, d));
  }
};

/// Moves atoms outside of the sub-box across one face, the first direction first, and to the inside in
/// the others; counts them. Positions may be in single precision, the faces are not.
template <class DeviceType> struct ClampLeaving {
  using AT = ArrayTypes<DeviceType>;
  typename AT::t_kkfloat_1d_3_lr x;
  double lo[3], hi[3], box_lo[3], box_hi[3];
  int periodic[3];

  /// The lowest position that is not below `face`.
  KOKKOS_INLINE_FUNCTION static KK_FLOAT from(double face) {
    const auto at = static_cast<KK_FLOAT>(face);
    return at < face ? Kokkos::nextafter(at, Kokkos::Experimental::infinity_v<KK_FLOAT>) : at;
  }
  /// The highest position below `face`.
  KOKKOS_INLINE_FUNCTION static KK_FLOAT below(double face) {
    const auto at = static_cast<KK_FLOAT>(face);
    return at < face ? at : Kokkos::nextafter(at, -Kokkos::Experimental::infinity_v<KK_FLOAT>);
  }

  KOKKOS_INLINE_FUNCTION void operator()(int i, int &leaving) const {
    bool moved = false;
    for (int d = 0; d < 3; ++d) {
      const double at = x(i, d);
      const bool under = at < lo[d], above = at >= hi[d];
      if (!under && !above)
        continue;
      if (moved) {  // later
        x(i, d) = under ? from(lo[d]) : below(hi[d]);
        continue;
      }
      const double period = box_hi[d] - box_lo[d];
      double up = at - hi[d], down = lo[d] - at;  // distance to go in each direction
      bool goes_up = above;
      if (periodic[d]) {
        if (up < 0.0)
          up += period;
        if (down < 0.0)
          down += period;
        goes_up = up <= down;
      } else if (above ? hi[d] >= box_hi[d] : lo[d] <= box_lo[d]) {
        continue;  // beyond a fixed face: LAMMPS reports it as lost
      }
      if (goes_up)
        x(i, d) = from(hi[d] < box_hi[d] ? hi[d] : box_lo[d]);
      else
        x(i, d) = below(lo[d] > box_lo[d] ? lo[d] : box_hi[d]);
      moved = true;
    }
    if (moved)
      ++leaving;
  }
};

/// Puts each atom into the middle of the bin that its place among all IDs names.
template <class DeviceType> struct PlaceInBins {
  using AT = ArrayTypes<DeviceType>;
  FindAtom<DeviceType> find;
  typename AT::t_tagint_1d tag;
  typename AT::t_kkfloat_1d_3_lr x;
  double lo[3], width[3], box_lo[3], h_inv[6];
  int n[3];
  int triclinic;

  KOKKOS_INLINE_FUNCTION void operator()(int i) const {
    const int k = find.place(tag(i));
    const int cell[3] = {k % n[0], k / n[0] % n[1], k / n[0] / n[1]};
    double at[3];
    for (int d = 0; d < 3; ++d)
      at[d] = lo[d] + (cell[d] + 0.5) * width[d];
    if (triclinic) {
      for (int d = 0; d < 3; ++d)
        at[d] -= box_lo[d];
      at[0] = h_inv[0] * at[0] + h_inv[5] * at[1] + h_inv[4] * at[2];
      at[1] = h_inv[1] * at[1] + h_inv[3] * at[2];
      at[2] = h_inv[2] * at[2];
    }
    for (int d = 0; d < 3; ++d)
      x(i, d) = static_cast<KK_FLOAT>(at[d]);
  }
};

/// Counts the atoms whose ID is below that of the one before.
template <class DeviceType> struct CountDescents {
  typename ArrayTypes<DeviceType>::t_tagint_1d tag;

  KOKKOS_INLINE_FUNCTION void operator()(int i, int &descents) const {
    if (tag(i) < tag(i - 1))
      ++descents;
  }
};

/// Puts the forces on the atoms into the order of the structure.
template <class DeviceType> struct GatherForces {
  using AT = ArrayTypes<DeviceType>;
  FindAtom<DeviceType> find;
  typename AT::t_tagint_1d tag;
  typename AT::t_kkacc_1d_3 f;
  typename AT::t_double_1d_3_lr forces;

  KOKKOS_INLINE_FUNCTION void operator()(int i) const {
    const int k = find.index(tag(i));
    if (k >= 0)
      for (int d = 0; d < 3; ++d)
        forces(k, d) = f(i, d);
  }
};

/// Writes the destinations of leaving atoms into a buffer; the last atoms fill the gaps they leave.
template <class Space> struct PackDestinations {
  using AT = ArrayTypes<Space>;
  typename AT::t_double_1d_um buf;
  typename AT::t_int_1d sendlist, copylist;
  typename AT::t_double_1d_3_lr destination;

  KOKKOS_INLINE_FUNCTION void operator()(int send) const {
    const int i = sendlist(send), j = copylist(send);
    for (int d = 0; d < 3; ++d)
      buf(3 * send + d) = destination(i, d);
    if (j >= 0)
      for (int d = 0; d < 3; ++d)
        destination(i, d) = destination(j, d);
  }
};

/// Takes those of the atoms that have come for this rank.
template <class Space> struct UnpackDestinations {
  using AT = ArrayTypes<Space>;
  typename AT::t_double_1d_um buf;
  typename AT::t_int_1d indices;
  typename AT::t_double_1d_3_lr destination;

  KOKKOS_INLINE_FUNCTION void operator()(int recv) const {
    const int i = indices(recv);
    if (i >= 0)
      for (int d = 0; d < 3; ++d)
        destination(i, d) = buf(3 * recv + d);
  }
};

/// Runs PackDestinations where the buffer is.
template <class Space>
void pack_destinations(int nsend, DAT::tdual_double_2d_lr &k_buf, DAT::tdual_int_1d &k_sendlist,
                       DAT::tdual_int_1d &k_copylist, DAT::tdual_double_1d_3_lr &k_destination) {
  k_sendlist.template sync<Space>();
  k_copylist.template sync<Space>();
  k_destination.template sync<Space>();
  PackDestinations<Space> pack;
  pack.buf = typename ArrayTypes<Space>::t_double_1d_um(k_buf.template view<Space>().data(),
                                                        k_buf.extent(0) * k_buf.extent(1));
  pack.sendlist = k_sendlist.template view<Space>();
  pack.copylist = k_copylist.template view<Space>();
  pack.destination = k_destination.template view<Space>();
  Kokkos::parallel_for("godiff:pack", Kokkos::RangePolicy<Space>(0, nsend), pack);
  k_destination.template modify<Space>();
}

/// Runs UnpackDestinations where the buffer is.
template <class Space>
void unpack_destinations(int nrecv, DAT::tdual_double_2d_lr &k_buf, DAT::tdual_int_1d &k_indices,
                         DAT::tdual_double_1d_3_lr &k_destination) {
  k_indices.template sync<Space>();
  k_destination.template sync<Space>();
  UnpackDestinations<Space> unpack;
  unpack.buf = typename ArrayTypes<Space>::t_double_1d_um(k_buf.template view<Space>().data(),
                                                          k_buf.extent(0) * k_buf.extent(1));
  unpack.indices = k_indices.template view<Space>();
  unpack.destination = k_destination.template view<Space>();
  Kokkos::parallel_for("godiff:unpack", Kokkos::RangePolicy<Space>(0, nrecv), unpack);
  k_destination.template modify<Space>();
}

}  // namespace GODiff
}  // namespace LAMMPS_NS

#endif
