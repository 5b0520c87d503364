// SPDX-License-Identifier: GPL-2.0-only
// Interface of LAMMPS' plugin loader, declared from its manual ("Writing plugins"), because an
// installed LAMMPS does not ship its own lammpsplugin.h.

#ifndef LMP_LAMMPSPLUGIN_H
#define LMP_LAMMPSPLUGIN_H

extern "C" {

/// Creates a style that takes only the LAMMPS instance (pair, bond, ... styles).
typedef void *(lammpsplugin_factory1) (void *);
/// Creates a style that takes the LAMMPS instance and the words of the command (fix, compute, ...).
typedef void *(lammpsplugin_factory2) (void *, int, char **);

/// Description of one style; version, style and name are what LAMMPS looks at.
typedef struct {
  const char *version;
  const char *style;
  const char *name;
  const char *info;
  const char *author;
  union {
    lammpsplugin_factory1 *v1;
    lammpsplugin_factory2 *v2;
  } creator;
  void *handle;
} lammpsplugin_t;

/// Registers one style with LAMMPS; the second argument is the LAMMPS instance.
typedef void (*lammpsplugin_regfunc)(lammpsplugin_t *, void *);

/// Entry point of a plugin: LAMMPS instance, handle of the library, registration function.
__attribute__((visibility("default"))) void lammpsplugin_init(void *, void *, void *);
}

#endif
