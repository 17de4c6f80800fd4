#!/bin/sh
# Installs the C and C++ library: ffi/install.sh LIBRARIES PREFIX. LIBRARIES is the directory that cargo built them into.
# DESTDIR is put before everything that is written, as packagers expect; STRIP=: keeps what debuggers read, five times the
# size. `make install` builds and calls this.
set -eu

libraries=$1
prefix=$2
here=$(cd "$(dirname "$0")/.." && pwd)
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' "$here/Cargo.toml" | head -n 1)
abi=0
case $prefix in
  /*) ;;
  *) echo "PREFIX must begin with /: $prefix" >&2; exit 1 ;;
esac
root=${DESTDIR:-}$prefix
lib=$root/lib
include=$root/include

mkdir -p "$lib/pkgconfig" "$lib/cmake/ferromq" "$include"
for header in ferromq.h ferromq.hpp; do
  if [ -f "$here/include/$header" ]; then
    install -m 644 "$here/include/$header" "$include/$header"
  fi
done
install -m 755 "$libraries/libferromq_ffi.so" "$lib/libferromq.so.$version"
install -m 644 "$libraries/libferromq_ffi.a" "$lib/libferromq.a"
if command -v "${STRIP:=strip}" > /dev/null; then
  # What others link to stays; the names of the rest are a sixth of the file.
  "$STRIP" --strip-unneeded "$lib/libferromq.so.$version"
  "$STRIP" --strip-debug "$lib/libferromq.a"
fi
ln -sf "libferromq.so.$version" "$lib/libferromq.so.$abi"
ln -sf "libferromq.so.$abi" "$lib/libferromq.so"

# What programs need besides when they link the static library: what rustc names for it.
private="-lgcc_s -lutil -lrt -lpthread -lm -ldl -lc"

cat > "$lib/pkgconfig/ferromq.pc" <<END
prefix=$prefix
libdir=\${prefix}/lib
includedir=\${prefix}/include

Name: ferromq
Description: Apache RocketMQ as a library: broker, name server and client
Version: $version
Libs: -L\${libdir} -lferromq
Libs.private: $private
Cflags: -I\${includedir}
END

cat > "$lib/cmake/ferromq/ferromqConfig.cmake" <<'END'
# Defines ferromq::ferromq, the shared library, and ferromq::ferromq_static.
get_filename_component(_ferromq_prefix "${CMAKE_CURRENT_LIST_DIR}/../../.." ABSOLUTE)

if(NOT TARGET ferromq::ferromq)
  add_library(ferromq::ferromq SHARED IMPORTED)
  set_target_properties(ferromq::ferromq PROPERTIES
    IMPORTED_LOCATION "${_ferromq_prefix}/lib/libferromq.so.@VERSION@"
    IMPORTED_SONAME "libferromq.so.@ABI@"
    INTERFACE_INCLUDE_DIRECTORIES "${_ferromq_prefix}/include")
endif()

if(NOT TARGET ferromq::ferromq_static)
  add_library(ferromq::ferromq_static STATIC IMPORTED)
  set_target_properties(ferromq::ferromq_static PROPERTIES
    IMPORTED_LOCATION "${_ferromq_prefix}/lib/libferromq.a"
    INTERFACE_INCLUDE_DIRECTORIES "${_ferromq_prefix}/include"
    INTERFACE_LINK_LIBRARIES "@PRIVATE@")
endif()

unset(_ferromq_prefix)
set(ferromq_FOUND TRUE)
END
sed -i "s/@VERSION@/$version/; s/@ABI@/$abi/; s/@PRIVATE@/$private/" "$lib/cmake/ferromq/ferromqConfig.cmake"

cat > "$lib/cmake/ferromq/ferromqConfigVersion.cmake" <<END
set(PACKAGE_VERSION "$version")
if(PACKAGE_FIND_VERSION VERSION_GREATER PACKAGE_VERSION)
  set(PACKAGE_VERSION_COMPATIBLE FALSE)
else()
  set(PACKAGE_VERSION_COMPATIBLE TRUE)
  if(PACKAGE_FIND_VERSION VERSION_EQUAL PACKAGE_VERSION)
    set(PACKAGE_VERSION_EXACT TRUE)
  endif()
endif()
END
echo "installed ferromq $version into $root"
