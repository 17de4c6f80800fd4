// pack.mjs OUTPUT: the packages to publish, as tarballs: `ferromq`, and one for each platform whose native part was built
// (build.sh release [TARGET]). `ferromq` names all platforms as optional dependencies: npm installs the one that fits.

import { execFileSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { PLATFORMS } from './platforms.mjs'

const HERE = fileURLToPath(new URL('..', import.meta.url))
const output = resolve(process.argv[2])
const staging = join(output, 'staging')
const own = JSON.parse(readFileSync(join(HERE, 'package.json')))
const { name, version, description, license, repository, engines } = own

rmSync(output, { recursive: true, force: true })
for (const platform of PLATFORMS) packPlatform(platform)
packMain()
rmSync(staging, { recursive: true })

function packPlatform({ name: platform, os, cpu, libc }) {
  const library = `${name}.${platform}.node`
  if (!existsSync(join(HERE, library))) return
  const manifest = {
    name: `${name}-${platform}`,
    version,
    description: `${description} (native part for ${platform})`,
    license,
    repository,
    engines,
    main: library,
    files: [library],
    os: [os],
    cpu: [cpu],
    ...(libc ? { libc: [libc] } : {}),
  }
  pack(manifest, [library], `# ${name}-${platform}\n\nThe native part of \`${name}\` for ${platform}. Install \`${name}\`.\n`)
}

function packMain() {
  const { devDependencies: _, scripts: __, ...manifest } = own
  manifest.optionalDependencies = Object.fromEntries(PLATFORMS.map((one) => [`${name}-${one.name}`, version]))
  const files = ['lib', ...['index', 'testing', 'logging'].flatMap((part) => ['.cjs', '.mjs', '.d.ts', '.d.mts'].map((end) => part + end))]
  pack(manifest, [...files, 'generated.js', 'generated.d.ts'], readFileSync(join(HERE, 'README.md')))
}

function pack(manifest, files, readme) {
  const folder = join(staging, manifest.name)
  mkdirSync(folder, { recursive: true })
  for (const file of files) cpSync(join(HERE, file), join(folder, file), { recursive: true })
  cpSync(join(HERE, '../../LICENSE'), join(folder, 'LICENSE'))
  writeFileSync(join(folder, 'README.md'), readme)
  writeFileSync(join(folder, 'package.json'), `${JSON.stringify(manifest, null, 2)}\n`)
  const packed = execFileSync('npm', ['pack', '--silent', '--pack-destination', output], { cwd: folder, encoding: 'utf8' })
  console.log(join(output, packed.trim()))
}
