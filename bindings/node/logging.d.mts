export * from './logging.js'
export { default } from './logging.js'
